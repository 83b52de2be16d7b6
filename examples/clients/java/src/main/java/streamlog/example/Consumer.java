package streamlog.example;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionService;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorCompletionService;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import streamlog.v1.LogServiceOuterClass.OffsetSpec;
import streamlog.v1.LogServiceOuterClass.PartitionMetadata;

/** The fast path out: reads all partitions, or one, from their start, an offset or a time. */
final class Consumer {
  private final Cluster cluster;
  private final Flags flags;

  /** Records to read; 0: to what is the end now. */
  private final long wanted;

  private final boolean silent;
  private final AtomicLong count = new AtomicLong();

  private Consumer(Cluster cluster, Flags flags) {
    this.cluster = cluster;
    this.flags = flags;
    this.wanted = flags.has("records") ? flags.number("records") : 0;
    this.silent = flags.has("print") && flags.text("print").equals("0");
  }

  static void run(Cluster cluster, Flags flags) throws Exception {
    new Consumer(cluster, flags).run();
  }

  private void run() throws Exception {
    long begun = System.nanoTime();
    String topic = flags.text("topic");
    List<Integer> partitions = new ArrayList<>();
    for (PartitionMetadata each : cluster.topic(topic).metadata().getPartitionsList()) {
      if (!flags.has("partition") || flags.number("partition") == each.getPartition()) {
        partitions.add(each.getPartition());
      }
    }
    ExecutorService threads = Executors.newFixedThreadPool(partitions.size());
    try {
      CompletionService<Void> reading = new ExecutorCompletionService<>(threads);
      for (int partition : partitions) {
        reading.submit(() -> read(new Cluster.TopicPartition(topic, partition)));
      }
      for (int ended = 0; ended < partitions.size(); ended++) {
        reading.take().get();
        if (wanted > 0) {
          break; // One of them saw that all have enough.
        }
      }
    } catch (ExecutionException failure) {
      throw failure.getCause() instanceof Exception cause ? cause : failure;
    } finally {
      threads.shutdownNow();
    }
    double seconds = Output.secondsSince(begun);
    Output.say(
        "result",
        "consume",
        "records",
        count,
        "seconds",
        seconds,
        "per_second",
        count.get() / seconds);
  }

  private Void read(Cluster.TopicPartition place) throws InterruptedException {
    long start = start(place);
    long end = cluster.offset(place, OffsetSpec.OFFSET_SPEC_LATEST, 0);
    if (wanted > 0 || start < end) {
      new Follower(cluster, place, start, chunk -> take(chunk, end)).run();
    }
    return null;
  }

  private long start(Cluster.TopicPartition place) throws InterruptedException {
    if (flags.has("offset")) {
      return flags.number("offset");
    }
    if (flags.has("time-ms")) {
      return cluster.offset(place, OffsetSpec.OFFSET_SPEC_TIMESTAMP, flags.number("time-ms"));
    }
    return cluster.offset(place, OffsetSpec.OFFSET_SPEC_EARLIEST, 0);
  }

  private boolean take(Follower.Chunk chunk, long end) {
    if (!silent) {
      Output.show(chunk.records());
    }
    long read = count.addAndGet(chunk.records().size());
    return wanted > 0 ? read < wanted : chunk.nextOffset() < end;
  }
}
