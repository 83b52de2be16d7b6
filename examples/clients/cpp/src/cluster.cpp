#include "cluster.h"

namespace client {
namespace {

constexpr int kMessageBytesMax = 65 << 20;
constexpr std::uint32_t kReplicas = 3;

Refused LeaderNotAvailable() { return {"LEADER_NOT_AVAILABLE", "no leader is known", true}; }

}  // namespace

std::shared_ptr<grpc::Channel> Cluster::ChannelTo(const std::string& address) {
  const std::lock_guard lock(mutex_);
  auto& channel = channels_[address];
  if (!channel) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);  // Only the client knows what may be repeated.
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
    channel = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  }
  return channel;
}

std::shared_ptr<grpc::Channel> Cluster::Connect(const std::string& address,
                                                const std::stop_token& stop) {
  auto channel = ChannelTo(address);
  pb::LogService::Stub stub(channel);
  pb::HandshakeRequest request;
  request.set_min_protocol_version(1);
  request.set_max_protocol_version(1);
  request.set_client_software("streamlog-example-cpp/1");
  request.add_features("idempotence");
  const auto hello = Call(stub, &pb::LogService::Stub::Handshake, request, stop);
  const std::lock_guard lock(mutex_);
  if (cluster_id_.empty()) cluster_id_ = hello.cluster_id();
  if (cluster_id_ != hello.cluster_id()) {
    throw std::runtime_error(address + " belongs to cluster " + hello.cluster_id() + ", not to " +
                             cluster_id_);
  }
  return channel;
}

std::shared_ptr<grpc::Channel> Cluster::ConnectToAny(const std::stop_token& stop) {
  std::string address;
  {
    const std::lock_guard lock(mutex_);
    address = addresses_[next_++ % addresses_.size()];
  }
  return Connect(address, stop);
}

Cluster::Metadata Cluster::AskMetadata(const std::string& topic, const std::stop_token& stop) {
  return Patiently(stop, [&](Patience&) {
    pb::LogService::Stub stub(ConnectToAny(stop));
    pb::GetMetadataRequest request;
    request.add_topics(topic);
    auto answer = Call(stub, &pb::LogService::Stub::GetMetadata, request, stop);
    if (answer.topics(0).has_error()) throw Refused(answer.topics(0).error());
    Metadata metadata{std::move(*answer.mutable_topics(0)), {}};
    for (const auto& node : answer.nodes()) metadata.addresses[node.node_id()] = node.address();
    return metadata;
  });
}

pb::TopicMetadata Cluster::Topic(const std::string& name, const std::stop_token& stop) {
  return AskMetadata(name, stop).topic;
}

Leader Cluster::LeaderOf(const std::string& topic, std::uint32_t partition,
                         const std::stop_token& stop) {
  const auto metadata = AskMetadata(topic, stop);
  if (partition >= static_cast<std::uint32_t>(metadata.topic.partitions_size())) {
    throw Refused("UNKNOWN_PARTITION", topic + "/" + std::to_string(partition), true);
  }
  const auto node = metadata.addresses.find(
      metadata.topic.partitions(static_cast<int>(partition)).leader_node_id());
  if (node == metadata.addresses.end()) throw LeaderNotAvailable();
  return {pb::LogService::NewStub(Connect(node->second, stop)), metadata.topic.topic_id()};
}

void Cluster::CreateTopic(const std::string& name, std::uint32_t partitions) {
  pb::CreateTopicRequest request;
  request.set_name(name);
  request.set_partition_count(partitions);
  request.set_replication_factor(kReplicas);
  Patiently({}, [&](Patience&) {
    pb::AdminService::Stub stub(ConnectToAny({}));
    try {
      Call(stub, &pb::AdminService::Stub::CreateTopic, request);
    } catch (const Refused& refused) {
      if (refused.reason() != "TOPIC_EXISTS") throw;
    }
  });
}

pb::InitProducerResponse Cluster::InitProducer() {
  return Patiently({}, [&](Patience&) {
    pb::LogService::Stub stub(ConnectToAny({}));
    return Call(stub, &pb::LogService::Stub::InitProducer, pb::InitProducerRequest());
  });
}

std::uint64_t Cluster::Offset(const std::string& topic, std::uint32_t partition,
                              pb::OffsetSpec spec, std::int64_t timestamp_ms) {
  return Patiently({}, [&](Patience&) {
    const auto leader = LeaderOf(topic, partition, {});
    pb::ListOffsetsRequest request;
    auto& query = *request.add_queries();
    query.set_topic_id(leader.topic_id);
    query.set_partition(partition);
    query.set_spec(spec);
    query.set_timestamp_ms(timestamp_ms);
    const auto answer = Call(*leader.stub, &pb::LogService::Stub::ListOffsets, request).answers(0);
    if (answer.has_error()) throw Refused(answer.error());
    return answer.offset();
  });
}

std::shared_ptr<grpc::Channel> Cluster::Coordinator(const std::string& group) {
  pb::FindCoordinatorRequest request;
  request.set_group(group);
  pb::GroupService::Stub stub(ConnectToAny({}));
  const auto found = Call(stub, &pb::GroupService::Stub::FindCoordinator, request);
  if (found.leader_address().empty()) throw LeaderNotAvailable();
  return Connect(found.leader_address(), {});
}

}  // namespace client
