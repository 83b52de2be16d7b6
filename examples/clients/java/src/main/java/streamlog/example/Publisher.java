package streamlog.example;

import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.BitSet;
import java.util.PrimitiveIterator;
import java.util.stream.IntStream;
import streamlog.v1.RecordOuterClass.Record;
import streamlog.v1.RecordServiceGrpc;
import streamlog.v1.RecordServiceOuterClass.PublishRecord;
import streamlog.v1.RecordServiceOuterClass.PublishRequest;
import streamlog.v1.RecordServiceOuterClass.PublishResponse;
import streamlog.v1.RecordServiceOuterClass.PublishResult;

/**
 * Publishes by one stream after the other. Records without a result are published again, and may be
 * there twice: who minds takes the fast path.
 */
final class Publisher {
  private static final int RECORDS_IN_REQUEST = 100;

  private final Cluster cluster;
  private final String topic;
  private final String name;
  private final int count;
  private final BitSet stored = new BitSet();
  private long sent;

  Publisher(Cluster cluster, String topic, String name, int count) {
    this.cluster = cluster;
    this.topic = topic;
    this.name = name;
    this.count = count;
  }

  long stored() {
    return stored.cardinality();
  }

  /** How many records were sent again. */
  long resent() {
    return sent - count;
  }

  /** One stream, until every record has its result. */
  void publish(Patience patience) throws InterruptedException {
    int[] left = IntStream.range(0, count).filter(number -> !stored.get(number)).toArray();
    var stream = new Stream(left);
    RecordServiceGrpc.newStub(cluster.any(node -> node)).publishStream(stream);
    RuntimeException failure = new NoAnswer("records without a result");
    try {
      PublishResponse response;
      while ((response = stream.results.take()) != null) {
        for (PublishResult result : response.getResultsList()) {
          if (!result.hasError()) {
            stored.set((int) result.getId());
            continue;
          }
          failure = new Refusal(result.getError());
          if (result.getError().getIndefinite()) {
            failure = new NoAnswer(failure.getMessage());
          } else if (!Failures.isRetriable(failure)) {
            throw failure;
          }
        }
        Output.say("stored", stored());
        patience.progress();
      }
    } finally {
      sent += stream.end();
    }
    if (stored() < count) {
      throw failure;
    }
  }

  /** Writes as long as the node takes more. */
  private final class Stream implements ClientResponseObserver<PublishRequest, PublishResponse> {
    private final Inbox<PublishResponse> results = new Inbox<>();
    private final PrimitiveIterator.OfInt left;
    private ClientCallStreamObserver<PublishRequest> requests;
    private long written;
    private boolean closed;

    Stream(int[] left) {
      this.left = IntStream.of(left).iterator();
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<PublishRequest> requests) {
      this.requests = requests;
      requests.setOnReadyHandler(this::write);
    }

    private synchronized void write() {
      while (requests.isReady() && left.hasNext() && !closed) {
        var request = PublishRequest.newBuilder().setTopic(topic);
        while (request.getRecordsCount() < RECORDS_IN_REQUEST && left.hasNext()) {
          int number = left.nextInt();
          request.addRecords(publishRecord(Output.record(name, number), number));
        }
        requests.onNext(request.build());
        written += request.getRecordsCount();
      }
      if (!left.hasNext() && !closed) {
        closed = true;
        requests.onCompleted();
      }
    }

    /** Nothing is written after this; returns how many records were. */
    synchronized long end() {
      closed = true;
      requests.cancel("no longer needed", null);
      return written;
    }

    private static PublishRecord publishRecord(Record record, long id) {
      var published =
          PublishRecord.newBuilder()
              .setId(id)
              .addAllHeaders(record.getHeadersList())
              .setTimestampMs(Output.FIRST_MS + record.getTimestampDeltaMs());
      if (record.hasKey()) {
        published.setKey(record.getKey());
      }
      if (record.hasValue()) {
        published.setValue(record.getValue());
      }
      return published.build();
    }

    @Override
    public void onNext(PublishResponse response) {
      results.onNext(response);
    }

    @Override
    public void onError(Throwable failure) {
      results.onError(failure);
    }

    @Override
    public void onCompleted() {
      results.onCompleted();
    }
  }
}
