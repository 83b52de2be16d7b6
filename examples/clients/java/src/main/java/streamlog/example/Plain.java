package streamlog.example;

import io.grpc.ManagedChannel;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import streamlog.v1.LogServiceOuterClass.OffsetSpec;
import streamlog.v1.RecordOuterClass.Record;
import streamlog.v1.RecordServiceGrpc;
import streamlog.v1.RecordServiceOuterClass.PartitionStart;
import streamlog.v1.RecordServiceOuterClass.SubscribeRequest;
import streamlog.v1.RecordServiceOuterClass.SubscribeResponse;

/** The plain path: publishes and subscribes at any node; no routing, batches or checksums. */
final class Plain {
  private static final int PARTITIONS = 2;

  private final Cluster cluster;
  private final String topic;

  /** Where to go on reading. */
  private final Map<Integer, Long> positions = new TreeMap<>();

  private long read;

  private Plain(Cluster cluster, String topic) {
    this.cluster = cluster;
    this.topic = topic;
  }

  static void run(Cluster cluster, Flags flags) throws InterruptedException {
    String topic = flags.text("topic");
    cluster.createTopic(topic, PARTITIONS);

    long begun = System.nanoTime();
    var publisher =
        new Publisher(cluster, topic, flags.text("name"), (int) flags.number("records"));
    Patience.with(publisher::publish);
    double publishSeconds = Output.secondsSince(begun);

    begun = System.nanoTime();
    var plain = new Plain(cluster, topic);
    Patience.with(plain::subscribe);
    Output.say(
        "result",
        "plain",
        "records",
        publisher.stored(),
        "read",
        plain.read,
        "resent",
        publisher.resent(),
        "publish_per_second",
        publisher.stored() / publishSeconds,
        "subscribe_per_second",
        plain.read / Output.secondsSince(begun));
  }

  /** Reads by one stream on from where it is, to what is the end when the stream begins. */
  private void subscribe(Patience patience) throws InterruptedException {
    ManagedChannel channel = cluster.any(node -> node);
    var request =
        SubscribeRequest.newBuilder()
            .setTopic(topic)
            .setStart(OffsetSpec.OFFSET_SPEC_EARLIEST)
            .setUntilEnd(true);
    positions.forEach(
        (partition, offset) ->
            request.addOffsets(
                PartitionStart.newBuilder().setPartition(partition).setOffset(offset)));
    Iterator<SubscribeResponse> responses =
        RecordServiceGrpc.newBlockingStub(channel).subscribe(request.build());
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
      positions.put(response.getPartition(), response.getNextOffset());
      patience.progress();
    }
  }
}
