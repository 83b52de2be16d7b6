package streamlog.example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.util.Map;
import java.util.Set;

/** What went wrong, and whether it helps to try again. */
final class Failures {
  private static final Set<Status.Code> RETRIABLE_CODES =
      Set.of(
          Status.Code.UNAVAILABLE,
          Status.Code.DEADLINE_EXCEEDED,
          Status.Code.CANCELLED,
          Status.Code.RESOURCE_EXHAUSTED);

  /** A topic that was just made is not known everywhere; replicas need nodes that registered. */
  private static final Set<String> RETRIABLE_REASONS =
      Set.of("UNKNOWN_TOPIC", "UNKNOWN_PARTITION", "INVALID_REPLICATION_FACTOR", "STALE_CATALOG");

  private Failures() {}

  /** What a node says, wherever it stood. Without a reason: the name of the status code. */
  record Details(String reason, Map<String, String> metadata, long retryAfterMs) {}

  static Details details(Throwable failure) {
    if (failure instanceof Refusal refusal) {
      var told = refusal.told();
      return new Details(told.getReason(), told.getMetadataMap(), told.getRetryAfterMs());
    }
    var status = StatusProto.fromThrowable(failure);
    if (status == null) {
      return new Details(failure.getClass().getSimpleName(), Map.of(), 0);
    }
    return details(status);
  }

  static Details details(com.google.rpc.Status status) {
    String reason = Status.fromCodeValue(status.getCode()).getCode().name();
    Map<String, String> metadata = Map.of();
    long retryAfterMs = 0;
    try {
      for (Any detail : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          ErrorInfo info = detail.unpack(ErrorInfo.class);
          if (info.getDomain().equals("streamlog")) {
            reason = info.getReason();
            metadata = info.getMetadataMap();
          }
        } else if (detail.is(RetryInfo.class)) {
          var delay = detail.unpack(RetryInfo.class).getRetryDelay();
          retryAfterMs = delay.getSeconds() * 1_000 + delay.getNanos() / 1_000_000;
        }
      }
    } catch (InvalidProtocolBufferException garbled) {
      throw new IllegalArgumentException("details of a status can not be read", garbled);
    }
    return new Details(reason, metadata, retryAfterMs);
  }

  static boolean isRetriable(Throwable failure) {
    if (failure instanceof NoAnswer || RETRIABLE_REASONS.contains(details(failure).reason())) {
      return true;
    }
    if (failure instanceof Refusal refusal) {
      return refusal.told().getRetriable();
    }
    var status = StatusProto.fromThrowable(failure);
    return status != null
        && (status.getDetailsCount() == 0 // The call was cut.
            || RETRIABLE_CODES.contains(Status.fromCodeValue(status.getCode()).getCode()));
  }
}
