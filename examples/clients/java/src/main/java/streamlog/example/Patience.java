package streamlog.example;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/** Pauses between attempts, and an end to them. Of one thread, but for {@link #progress}. */
final class Patience {
  private static final Duration PATIENCE = Duration.ofSeconds(60);
  private static final long FIRST_PAUSE_MS = 50;
  private static final long LONGEST_PAUSE_MS = 1_000;

  /** Failures that are further apart have nothing to do with each other. */
  private static final Duration APART = Duration.ofSeconds(30);

  private volatile boolean fresh = true;
  private long pauseMs;
  private long failingSinceNanos;
  private long failedLastNanos;

  /** Something to try, again and again. */
  interface Attempt<T> {
    T make() throws InterruptedException;
  }

  /** Something to try, again and again, that tells whenever it came further. */
  interface Work {
    void run(Patience patience) throws InterruptedException;
  }

  /** Until it is done, can not be done, or failed for too long. */
  static void with(Work work) throws InterruptedException {
    var patience = new Patience();
    while (true) {
      try {
        work.run(patience);
        return;
      } catch (RuntimeException failure) {
        patience.after(failure);
      }
    }
  }

  /** Until it succeeds, can not succeed, or failed for too long. */
  static <T> T with(Attempt<T> attempt) throws InterruptedException {
    var patience = new Patience();
    while (true) {
      try {
        return attempt.make();
      } catch (RuntimeException failure) {
        patience.after(failure);
      }
    }
  }

  /** Something succeeded. */
  void progress() {
    fresh = true;
  }

  /** Sleeps before the next attempt; throws the failure if there is no use in one. */
  void after(RuntimeException failure) throws InterruptedException {
    long now = System.nanoTime();
    if (fresh || now - failedLastNanos > APART.toNanos()) {
      fresh = false;
      pauseMs = FIRST_PAUSE_MS;
      failingSinceNanos = now;
    }
    failedLastNanos = now;
    if (!Failures.isRetriable(failure) || now - failingSinceNanos > PATIENCE.toNanos()) {
      throw failure;
    }
    double jitter = ThreadLocalRandom.current().nextDouble(0.75, 1.25);
    Thread.sleep(Math.max((long) (pauseMs * jitter), Failures.details(failure).retryAfterMs()));
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  }
}
