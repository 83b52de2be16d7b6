package streamlog.example;

import io.grpc.ManagedChannel;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import streamlog.v1.LogServiceOuterClass.OffsetSpec;
import streamlog.v1.RecordOuterClass.Record;
import streamlog.v1.RecordServiceGrpc;
import streamlog.v1.RecordServiceOuterClass.PublishRecord;
import streamlog.v1.RecordServiceOuterClass.PublishRequest;
import streamlog.v1.RecordServiceOuterClass.PublishResponse;
import streamlog.v1.RecordServiceOuterClass.PublishResult;
import streamlog.v1.RecordServiceOuterClass.SubscribeRequest;
import streamlog.v1.RecordServiceOuterClass.SubscribeResponse;

/** The plain path: publishes and subscribes at any node; no routing, batches or checksums. */
final class Plain {
  private static final int PARTITIONS = 2;
  private static final int RECORDS_IN_REQUEST = 100;

  private Plain() {}

  static void run(Cluster cluster, Flags flags) throws InterruptedException {
    String topic = flags.text("topic");
    cluster.createTopic(topic, PARTITIONS);
    ManagedChannel channel = cluster.any(node -> node);

    long begun = System.nanoTime();
    var publishing = new Publishing(topic, flags.text("name"), flags.number("records"));
    RecordServiceGrpc.newStub(channel).publishStream(publishing);
    long stored = 0;
    PublishResponse response;
    while ((response = publishing.results.take()) != null) {
      for (PublishResult result : response.getResultsList()) {
        if (result.hasError()) {
          throw new Refusal(result.getError());
        }
      }
      stored += response.getResultsCount();
      Output.say("stored", stored);
    }
    double publishSeconds = Output.secondsSince(begun);

    begun = System.nanoTime();
    long read = subscribe(channel, topic);
    Output.say(
        "result",
        "plain",
        "records",
        stored,
        "read",
        read,
        "publish_per_second",
        stored / publishSeconds,
        "subscribe_per_second",
        read / Output.secondsSince(begun));
  }

  private static long subscribe(ManagedChannel channel, String topic) {
    var request =
        SubscribeRequest.newBuilder()
            .setTopic(topic)
            .setStart(OffsetSpec.OFFSET_SPEC_EARLIEST)
            .setUntilEnd(true)
            .build();
    Iterator<SubscribeResponse> responses =
        RecordServiceGrpc.newBlockingStub(channel).subscribe(request);
    long read = 0;
    while (responses.hasNext()) {
      SubscribeResponse response = responses.next();
      List<StoredRecord> records = new ArrayList<>();
      for (Record record : response.getRecordsList()) {
        long timestampMs =
            response.getAppendTimeMs() != 0
                ? response.getAppendTimeMs()
                : response.getBaseTimestampMs() + record.getTimestampDeltaMs();
        long offset = response.getBaseOffset() + record.getOffsetDelta();
        records.add(new StoredRecord(response.getPartition(), offset, timestampMs, record));
      }
      Output.show(records);
      read += records.size();
    }
    return read;
  }

  /** Writes as long as the node takes more. */
  private static final class Publishing
      implements ClientResponseObserver<PublishRequest, PublishResponse> {
    private final Inbox<PublishResponse> results = new Inbox<>();
    private final String topic;
    private final String name;
    private final long count;
    private long written;
    private boolean closed;

    Publishing(String topic, String name, long count) {
      this.topic = topic;
      this.name = name;
      this.count = count;
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<PublishRequest> requests) {
      requests.setOnReadyHandler(() -> write(requests));
    }

    private void write(ClientCallStreamObserver<PublishRequest> requests) {
      while (requests.isReady() && written < count) {
        var request = PublishRequest.newBuilder().setTopic(topic);
        long end = Math.min(written + RECORDS_IN_REQUEST, count);
        for (; written < end; written++) {
          request.addRecords(publishRecord(Output.record(name, written), written));
        }
        requests.onNext(request.build());
      }
      if (written == count && !closed) {
        closed = true;
        requests.onCompleted();
      }
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
