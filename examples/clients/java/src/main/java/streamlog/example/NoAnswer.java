package streamlog.example;

/** Nothing was refused, but an answer does not come. */
final class NoAnswer extends RuntimeException {
  private static final long serialVersionUID = 1;

  NoAnswer(String what) {
    super(what);
  }
}
