package streamlog.example;

import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.ChannelOption;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import streamlog.v1.AdminServiceGrpc;
import streamlog.v1.AdminServiceOuterClass.CreateTopicRequest;
import streamlog.v1.LogServiceGrpc;
import streamlog.v1.LogServiceOuterClass.GetMetadataRequest;
import streamlog.v1.LogServiceOuterClass.HandshakeRequest;
import streamlog.v1.LogServiceOuterClass.ListOffsetsRequest;
import streamlog.v1.LogServiceOuterClass.Node;
import streamlog.v1.LogServiceOuterClass.OffsetQuery;
import streamlog.v1.LogServiceOuterClass.OffsetSpec;
import streamlog.v1.LogServiceOuterClass.TopicMetadata;

/** Nodes, connections to them, and who leads what. Of any thread. */
final class Cluster implements AutoCloseable {
  static final int CALL_TIMEOUT_S = 10;
  private static final int MESSAGE_BYTES_MAX = 65 << 20;
  private static final int CONNECT_TIMEOUT_MS = 1_000;
  private static final int REPLICAS = 3;

  private final List<String> bootstrap;
  private final AtomicInteger next = new AtomicInteger();
  private final Map<String, ManagedChannel> channels = new ConcurrentHashMap<>();

  /** Leaders that nodes named when they refused. */
  private final Map<TopicPartition, Place> hints = new ConcurrentHashMap<>();

  private String id = "";

  Cluster(List<String> bootstrap) {
    this.bootstrap = bootstrap;
  }

  record TopicPartition(String topic, int partition) {}

  private record Place(String address, long term) {}

  /** A topic's metadata, and the addresses of nodes by their id. */
  record Topic(TopicMetadata metadata, Map<Integer, String> addresses) {}

  /** The node that leads a partition, as far as anybody told. */
  record Leader(ManagedChannel channel, long topicId) {}

  /** Connects and shakes hands: another cluster may have come back at an address. */
  ManagedChannel node(String address) {
    ManagedChannel channel = channels.computeIfAbsent(address, Cluster::connect);
    channel.resetConnectBackoff(); // The pauses are this client's.
    var hello =
        LogServiceGrpc.newBlockingStub(channel)
            .withDeadlineAfter(CALL_TIMEOUT_S, TimeUnit.SECONDS)
            .handshake(
                HandshakeRequest.newBuilder()
                    .setMinProtocolVersion(1)
                    .setMaxProtocolVersion(1)
                    .setClientSoftware("streamlog-example-java/1")
                    .addFeatures("idempotence")
                    .build());
    checkCluster(address, hello.getClusterId());
    return channel;
  }

  private synchronized void checkCluster(String address, String told) {
    if (id.isEmpty()) {
      id = told;
    } else if (!id.equals(told)) {
      throw new IllegalStateException(address + " belongs to cluster " + told + ", not to " + id);
    }
  }

  private static ManagedChannel connect(String address) {
    return NettyChannelBuilder.forTarget(address)
        .usePlaintext()
        .disableRetry()
        .maxInboundMessageSize(MESSAGE_BYTES_MAX)
        .withOption(ChannelOption.CONNECT_TIMEOUT_MILLIS, CONNECT_TIMEOUT_MS)
        .keepAliveTime(10, TimeUnit.SECONDS)
        .keepAliveTimeout(5, TimeUnit.SECONDS)
        .keepAliveWithoutCalls(true)
        .build();
  }

  /** Asks one node after the other until one answers. */
  <T> T any(Function<ManagedChannel, T> call) throws InterruptedException {
    return Patience.with(
        () -> {
          int turn = Math.floorMod(next.getAndIncrement(), bootstrap.size());
          return call.apply(node(bootstrap.get(turn)));
        });
  }

  Topic topic(String name) throws InterruptedException {
    return any(
        channel -> {
          var request = GetMetadataRequest.newBuilder().addTopics(name).build();
          var answer = log(channel).getMetadata(request);
          TopicMetadata topic = answer.getTopics(0);
          if (topic.hasError()) {
            throw new Refusal(topic.getError());
          }
          Map<Integer, String> addresses = new HashMap<>();
          for (Node node : answer.getNodesList()) {
            addresses.put(node.getNodeId(), node.getAddress());
          }
          return new Topic(topic, addresses);
        });
  }

  /** The newest leader that metadata or a refusal told. */
  Leader leader(TopicPartition place) throws InterruptedException {
    Topic topic = topic(place.topic());
    if (place.partition() >= topic.metadata().getPartitionsCount()) {
      throw Refusal.retriable("UNKNOWN_PARTITION");
    }
    var partition = topic.metadata().getPartitions(place.partition());
    String address = topic.addresses().get(partition.getLeaderNodeId());
    Place hint = hints.get(place);
    if (hint != null && hint.term() > partition.getLeaderTerm()) {
      address = hint.address();
    }
    if (address == null) {
      throw Refusal.retriable("LEADER_NOT_AVAILABLE");
    }
    return new Leader(node(address), topic.metadata().getTopicId());
  }

  /** Remembers whom a node names in its stead. */
  void learn(TopicPartition place, RuntimeException failure) {
    var details = Failures.details(failure);
    String address = details.metadata().get("leader_address");
    if (!details.reason().equals("NOT_LEADER") || address == null || address.isEmpty()) {
      return;
    }
    long term = Long.parseLong(details.metadata().getOrDefault("leader_term", "0"));
    hints.merge(
        place,
        new Place(address, term),
        (known, told) -> told.term() >= known.term() ? told : known);
  }

  /** A named position of a partition, or that of a time. */
  long offset(TopicPartition place, OffsetSpec spec, long timestampMs) throws InterruptedException {
    return Patience.with(
        () -> {
          try {
            Leader leader = leader(place);
            var query =
                OffsetQuery.newBuilder()
                    .setTopicId(leader.topicId())
                    .setPartition(place.partition())
                    .setSpec(spec)
                    .setTimestampMs(timestampMs);
            var request = ListOffsetsRequest.newBuilder().addQueries(query).build();
            var answer = log(leader.channel()).listOffsets(request).getAnswers(0);
            if (answer.hasError()) {
              throw new Refusal(answer.getError());
            }
            return answer.getOffset();
          } catch (RuntimeException failure) {
            learn(place, failure);
            throw failure;
          }
        });
  }

  /** Does nothing if it is there. */
  void createTopic(String name, int partitions) throws InterruptedException {
    var request =
        CreateTopicRequest.newBuilder()
            .setName(name)
            .setPartitionCount(partitions)
            .setReplicationFactor(REPLICAS)
            .build();
    any(
        channel -> {
          try {
            return AdminServiceGrpc.newBlockingStub(channel)
                .withDeadlineAfter(CALL_TIMEOUT_S, TimeUnit.SECONDS)
                .createTopic(request);
          } catch (StatusRuntimeException failure) {
            if (Failures.details(failure).reason().equals("TOPIC_EXISTS")) {
              return null;
            }
            throw failure;
          }
        });
  }

  private static LogServiceGrpc.LogServiceBlockingStub log(ManagedChannel channel) {
    return LogServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(CALL_TIMEOUT_S, TimeUnit.SECONDS);
  }

  @Override
  public void close() {
    channels.values().forEach(ManagedChannel::shutdownNow);
  }
}
