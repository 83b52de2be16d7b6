package streamlog.example;

import io.grpc.ManagedChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32;
import streamlog.v1.Batch.RecordBatch;
import streamlog.v1.LogServiceGrpc;
import streamlog.v1.LogServiceOuterClass.InitProducerRequest;
import streamlog.v1.LogServiceOuterClass.InitProducerResponse;
import streamlog.v1.LogServiceOuterClass.Routing;
import streamlog.v1.RecordOuterClass.Record;

/** The fast path in: zstd batches by the partitioner, idempotent, from leader to leader. */
final class Producer {
  private static final int PARTITIONS = 3;

  private Producer() {}

  static void run(Cluster cluster, Flags flags) throws Exception {
    String topic = flags.text("topic");
    cluster.createTopic(topic, PARTITIONS);
    Routing routing = cluster.topic(topic).metadata().getRouting();
    if (!routing.getFunction().equals("crc32")) {
      throw new IllegalStateException("unknown routing " + routing.getFunction());
    }
    InitProducerResponse producer = cluster.any(Producer::initProducer);
    var counts = new PartitionProducer.Counts();
    List<PartitionProducer> partitions = new ArrayList<>();
    for (int number = 0; number < routing.getPartitionCount(); number++) {
      var origin =
          RecordBatch.newBuilder()
              .setPartition(number)
              .setRoutingEpoch(routing.getEpoch())
              .setProducerId(producer.getProducerId())
              .setProducerEpoch(producer.getProducerEpoch())
              .setFirstTimestampMs(Output.FIRST_MS)
              .build();
      var place = new Cluster.TopicPartition(topic, number);
      partitions.add(new PartitionProducer(cluster, place, origin, counts));
    }
    long begun = System.nanoTime();
    ExecutorService threads = Executors.newFixedThreadPool(partitions.size());
    try {
      List<Future<?>> running = new ArrayList<>();
      for (PartitionProducer partition : partitions) {
        running.add(
            threads.submit(
                () -> {
                  partition.run();
                  return null;
                }));
      }
      fill(partitions, flags);
      awaitAll(running);
    } finally {
      threads.shutdownNow();
    }
    double seconds = Output.secondsSince(begun);
    Output.say(
        "result",
        "produce",
        "records",
        counts.stored(),
        "seconds",
        seconds,
        "per_second",
        counts.stored().get() / seconds,
        "duplicates",
        counts.duplicates(),
        "resent",
        counts.resent());
  }

  private static InitProducerResponse initProducer(ManagedChannel channel) {
    return LogServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(Cluster.CALL_TIMEOUT_S, TimeUnit.SECONDS)
        .initProducer(InitProducerRequest.getDefaultInstance());
  }

  /** Throws what the first of them that failed threw. */
  static void awaitAll(List<Future<?>> running) throws Exception {
    for (Future<?> each : running) {
      try {
        each.get();
      } catch (ExecutionException failure) {
        throw failure.getCause() instanceof Exception cause ? cause : failure;
      }
    }
  }

  /** Fills a batch of each partition; records without a key move on when one is full. */
  private static void fill(List<PartitionProducer> partitions, Flags flags)
      throws InterruptedException {
    String writer = flags.text("name");
    long size = flags.number("batch");
    long pauseMs = flags.number("pause-ms");
    List<List<Record>> begun = new ArrayList<>();
    partitions.forEach(partition -> begun.add(new ArrayList<>()));
    int home = 0;
    for (long n = 0; n < flags.number("records"); n++) {
      Record record = Output.record(writer, n);
      int to = record.hasKey() ? route(record.getKey().toByteArray(), partitions.size()) : home;
      begun.get(to).add(record);
      if (begun.get(to).size() == size) {
        partitions.get(to).add(begun.get(to));
        begun.set(to, new ArrayList<>());
        home = (home + 1) % partitions.size();
        Thread.sleep(pauseMs);
      }
    }
    for (int number = 0; number < partitions.size(); number++) {
      if (!begun.get(number).isEmpty()) {
        partitions.get(number).add(begun.get(number));
      }
      partitions.get(number).close();
    }
  }

  /** The routing function "crc32". */
  static int route(byte[] key, int partitions) {
    return (int) (crc32(key) % partitions);
  }

  static long crc32(byte[] data) {
    var crc = new CRC32();
    crc.update(data);
    return crc.getValue();
  }
}
