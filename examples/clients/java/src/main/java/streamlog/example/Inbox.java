package streamlog.example;

import io.grpc.stub.StreamObserver;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * Responses of a stream, for one thread that takes them.
 *
 * <p>It has no limit of its own: what the node may send is bounded by the credit of a fetch, or by
 * what was asked for.
 */
final class Inbox<T> implements StreamObserver<T> {
  private final BlockingQueue<Event<T>> events = new LinkedBlockingQueue<>();

  private sealed interface Event<T> {}

  private record Came<T>(T response) implements Event<T> {}

  private record Ended<T>(Throwable failure) implements Event<T> {}

  /** The next response; null when the stream ended well. Throws what else it ended with. */
  T take() throws InterruptedException {
    Event<T> event = events.take();
    if (event instanceof Came<T> came) {
      return came.response();
    }
    Throwable failure = ((Ended<T>) event).failure();
    events.add(event); // Whoever asks again is told again.
    if (failure != null) {
      throw asRuntimeException(failure);
    }
    return null;
  }

  static RuntimeException asRuntimeException(Throwable failure) {
    return failure instanceof RuntimeException known ? known : new IllegalStateException(failure);
  }

  @Override
  public void onNext(T response) {
    events.add(new Came<>(response));
  }

  @Override
  public void onError(Throwable failure) {
    events.add(new Ended<>(failure));
  }

  @Override
  public void onCompleted() {
    events.add(new Ended<>(null));
  }
}
