package streamlog.example;

import streamlog.v1.ErrorOuterClass;

/** An error that came inside a stream or an answer. */
final class Refusal extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final transient ErrorOuterClass.Error told;

  Refusal(ErrorOuterClass.Error told) {
    super(told.getReason() + ": " + told.getMessage());
    this.told = told;
  }

  /** Of this client: nothing is known that it could go on with. */
  static Refusal retriable(String reason) {
    return new Refusal(
        ErrorOuterClass.Error.newBuilder().setReason(reason).setRetriable(true).build());
  }

  ErrorOuterClass.Error told() {
    return told;
  }
}
