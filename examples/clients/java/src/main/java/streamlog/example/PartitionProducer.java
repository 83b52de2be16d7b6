package streamlog.example;

import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import streamlog.v1.Batch.RecordBatch;
import streamlog.v1.LogServiceGrpc;
import streamlog.v1.LogServiceOuterClass.ProduceEntry;
import streamlog.v1.LogServiceOuterClass.ProduceRequest;
import streamlog.v1.LogServiceOuterClass.ProduceResponse;
import streamlog.v1.LogServiceOuterClass.ProduceResult;
import streamlog.v1.RecordOuterClass.Record;

/**
 * One partition of a producer: a stream to its leader, and what is unanswered on it.
 *
 * <p>One thread adds, one runs, and gRPC brings the answers; all state is guarded by this.
 */
final class PartitionProducer {
  private static final int IN_FLIGHT_MAX = 5;
  private static final long ANSWER_TIMEOUT_MS = TimeUnit.SECONDS.toMillis(10);

  private final Cluster cluster;
  private final Cluster.TopicPartition place;
  private final RecordBatch origin;
  private final Counts counts;
  private final Patience patience = new Patience();

  /** Invariant: at most one, but for the moment of adding. */
  private final Queue<RecordBatch> waiting = new ArrayDeque<>();

  /** Sent, oldest first. Invariant: at most IN_FLIGHT_MAX. */
  private final Queue<RecordBatch> unanswered = new ArrayDeque<>();

  private int sequence;
  private boolean closed;
  private RuntimeException failed;
  private Session session;

  /** What became of the batches of all partitions. */
  record Counts(AtomicLong stored, AtomicLong duplicates, AtomicLong resent) {
    Counts() {
      this(new AtomicLong(), new AtomicLong(), new AtomicLong());
    }
  }

  /** {@code origin} has what all batches have in common. */
  PartitionProducer(
      Cluster cluster, Cluster.TopicPartition place, RecordBatch origin, Counts counts) {
    this.cluster = cluster;
    this.place = place;
    this.origin = origin;
    this.counts = counts;
  }

  /** Makes a batch, and waits until there is room for the next one. Throws why it gave up. */
  synchronized void add(List<Record> records) throws InterruptedException {
    waiting.add(Batches.encode(records, origin.toBuilder().setBaseSequence(sequence).build()));
    sequence = Batches.nextSequence(sequence, records.size());
    pump();
    while (!waiting.isEmpty()) {
      if (failed != null) {
        throw failed;
      }
      wait();
    }
  }

  synchronized void close() {
    closed = true;
    notifyAll();
  }

  /**
   * Stores what is added until it is closed. Whenever something goes wrong the stream is given up,
   * and what is unanswered is sent again to the leader of then: the same bytes, in order.
   */
  void run() throws InterruptedException {
    while (!isDone()) {
      try {
        produce();
      } catch (RuntimeException failure) {
        cluster.learn(place, failure);
        try {
          patience.after(failure);
        } catch (RuntimeException last) {
          giveUp(last);
          throw last;
        }
      }
    }
  }

  private synchronized void giveUp(RuntimeException why) {
    failed = why;
    notifyAll();
  }

  private synchronized boolean isDone() {
    return closed && waiting.isEmpty() && unanswered.isEmpty();
  }

  private void produce() throws InterruptedException {
    Cluster.Leader leader = cluster.leader(place);
    var current = new Session(leader.topicId());
    synchronized (this) {
      var stub = LogServiceGrpc.newStub(leader.channel());
      current.requests = (ClientCallStreamObserver<ProduceRequest>) stub.produce(current);
      session = current;
      counts.resent().addAndGet(unanswered.size());
      unanswered.forEach(current::send);
      pump();
      try {
        awaitEnd(current);
      } finally {
        session = null;
        current.requests.cancel("given up", null);
      }
    }
  }

  private void awaitEnd(Session current) throws InterruptedException {
    while (!isDone()) {
      if (current.failure != null) {
        throw current.failure;
      }
      long before = current.answers;
      wait(ANSWER_TIMEOUT_MS);
      boolean late =
          System.nanoTime() - current.progressNanos
              > TimeUnit.MILLISECONDS.toNanos(ANSWER_TIMEOUT_MS);
      if (late && before == current.answers && !unanswered.isEmpty()) {
        throw new NoAnswer("a batch is unanswered");
      }
    }
  }

  /** Sends what there is room for. */
  private void pump() {
    while (session != null && unanswered.size() < IN_FLIGHT_MAX && !waiting.isEmpty()) {
      RecordBatch batch = waiting.remove();
      if (unanswered.isEmpty()) {
        session.progressNanos = System.nanoTime();
      }
      unanswered.add(batch);
      session.send(batch);
    }
    notifyAll();
  }

  /** Takes the result of the oldest batch: results of a partition come in order. */
  private void answered(ProduceResult result) {
    RecordBatch batch = unanswered.element();
    if (batch.getBaseSequence() != result.getRequestId()) {
      throw new IllegalStateException(
          "an answer to %d, not to %d".formatted(result.getRequestId(), batch.getBaseSequence()));
    }
    boolean known = result.getError().getReason().equals("DUPLICATE_SEQUENCE");
    if (result.hasError() && !known) {
      throw new Refusal(result.getError());
    }
    if (result.getDuplicate() || known) {
      counts.duplicates().incrementAndGet();
    }
    unanswered.remove();
    patience.progress();
    Output.say("stored", counts.stored().addAndGet(batch.getRecordCount()));
  }

  /** One stream. What it brings after it was given up is dropped. */
  private final class Session implements StreamObserver<ProduceResponse> {
    private final long topicId;
    private ClientCallStreamObserver<ProduceRequest> requests;
    private RuntimeException failure;
    private long answers;
    private long progressNanos = System.nanoTime();

    Session(long topicId) {
      this.topicId = topicId;
    }

    /** A request is named by its sequence, which is unique among the few that are unanswered. */
    void send(RecordBatch batch) {
      var entry =
          ProduceEntry.newBuilder()
              .setRequestId(batch.getBaseSequence())
              .setTopicId(topicId)
              .setBatch(batch);
      requests.onNext(ProduceRequest.newBuilder().addEntries(entry).build());
    }

    @Override
    public void onNext(ProduceResponse response) {
      synchronized (PartitionProducer.this) {
        if (session != this || failure != null) {
          return;
        }
        try {
          response.getResultsList().forEach(PartitionProducer.this::answered);
          answers++;
          progressNanos = System.nanoTime();
          pump();
        } catch (RuntimeException refused) {
          fail(refused);
        }
      }
    }

    @Override
    public void onError(Throwable error) {
      fail(Inbox.asRuntimeException(error));
    }

    @Override
    public void onCompleted() {
      fail(new NoAnswer("the stream ended"));
    }

    private void fail(RuntimeException why) {
      synchronized (PartitionProducer.this) {
        failure = why;
        PartitionProducer.this.notifyAll();
      }
    }
  }
}
