package streamlog.example;

import io.grpc.ManagedChannel;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import streamlog.v1.GroupServiceGrpc;
import streamlog.v1.GroupServiceOuterClass.MemberRequest;
import streamlog.v1.GroupServiceOuterClass.MemberResponse;

/** One stream of a member to its coordinator, with its timers. All of it runs on the loop. */
final class MemberStream implements StreamObserver<MemberResponse> {
  /** When the stream was opened. */
  final long joinedNanos = System.nanoTime();

  /** When each that is not confirmed was sent, by sequence. */
  final Map<Long, Long> heartbeats = new HashMap<>();

  /** Positions that are not confirmed, by sequence. */
  final Map<Long, Map<Hold, Long>> commits = new HashMap<>();

  private final ScheduledExecutorService loop;
  private final BiConsumer<MemberStream, MemberResponse> listener;
  private final CompletableFuture<Void> ended;
  private final ClientCallStreamObserver<MemberRequest> requests;
  private final List<ScheduledFuture<?>> timers = new ArrayList<>();
  private boolean beating;

  /** {@code ended} is told how the stream ends. */
  MemberStream(
      ManagedChannel coordinator,
      ScheduledExecutorService loop,
      BiConsumer<MemberStream, MemberResponse> listener,
      CompletableFuture<Void> ended) {
    this.loop = loop;
    this.listener = listener;
    this.ended = ended;
    this.requests =
        (ClientCallStreamObserver<MemberRequest>)
            GroupServiceGrpc.newStub(coordinator).membership(this);
  }

  void send(MemberRequest.Builder request) {
    if (!ended.isDone()) {
      requests.onNext(request.build());
    }
  }

  /** Until the stream ends. */
  void every(long intervalMs, Runnable task) {
    timers.add(
        loop.scheduleWithFixedDelay(
            () -> guarded(task), intervalMs, intervalMs, TimeUnit.MILLISECONDS));
  }

  /** The first time it is called. */
  void startHeartbeats(int intervalMs, Runnable heartbeat) {
    if (!beating) {
      beating = true;
      every(intervalMs, heartbeat);
    }
  }

  /** With null: well. */
  void end(RuntimeException failure) {
    timers.forEach(timer -> timer.cancel(false));
    requests.cancel("ended", null);
    if (failure == null) {
      ended.complete(null);
    } else {
      ended.completeExceptionally(failure);
    }
  }

  @Override
  public void onNext(MemberResponse response) {
    onLoop(() -> listener.accept(this, response));
  }

  @Override
  public void onError(Throwable failure) {
    onLoop(() -> end(Inbox.asRuntimeException(failure)));
  }

  @Override
  public void onCompleted() {
    onLoop(() -> end(null));
  }

  private void onLoop(Runnable task) {
    try {
      loop.execute(() -> guarded(task));
    } catch (RejectedExecutionException over) {
      // The member is gone.
    }
  }

  private void guarded(Runnable task) {
    if (!ended.isDone()) {
      try {
        task.run();
      } catch (RuntimeException failure) {
        end(failure);
      }
    }
  }
}
