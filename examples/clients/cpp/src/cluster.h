// Nodes: connections, handshakes, leaders, and calls to whichever node answers.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "errors.h"
#include "protocol.h"

namespace client {

// Calls a method of a stub with a deadline; throws unless the answer is OK.
template <typename Stub, typename Request, typename Response>
Response Call(Stub& stub,
              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request, const std::stop_token& stop = {}) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
  Response response;
  Check((stub.*method)(&context, request, &response));
  return response;
}

// A stream both ways. One thread may send while another receives.
template <typename Request, typename Response>
class Duplex {
 public:
  // Open: given a context it makes the stream.
  template <std::invocable<grpc::ClientContext*> Open>
  explicit Duplex(Open open) : stream_(open(&context_)) {}
  Duplex(const Duplex&) = delete;
  Duplex& operator=(const Duplex&) = delete;
  ~Duplex() {
    Cancel();
    if (!finished_) stream_->Finish();
  }

  // Does nothing on a broken stream: who receives is told.
  void Send(const Request& request) { stream_->Write(request); }
  void HalfClose() { stream_->WritesDone(); }
  // False: the stream has ended, and Finish says how.
  bool Receive(Response* response) { return stream_->Read(response); }
  void Cancel() { context_.TryCancel(); }
  // Only when nobody receives any more.
  grpc::Status Finish() {
    finished_ = true;
    return stream_->Finish();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<Request, Response>> stream_;
  bool finished_ = false;
};

// The node that leads a partition, as far as any node knows.
struct Leader {
  std::unique_ptr<pb::LogService::Stub> stub;
  std::uint64_t topic_id;
};

// Connects once to each node. Safe to use from many threads.
class Cluster {
 public:
  explicit Cluster(std::vector<std::string> addresses) : addresses_(std::move(addresses)) {}

  // A connection to a node that shook hands just now: another cluster may have come back there.
  std::shared_ptr<grpc::Channel> Connect(const std::string& address, const std::stop_token& stop);
  // A connection to any node that answers, now one and now another.
  std::shared_ptr<grpc::Channel> ConnectToAny(const std::stop_token& stop);

  pb::TopicMetadata Topic(const std::string& name, const std::stop_token& stop = {});
  Leader LeaderOf(const std::string& topic, std::uint32_t partition, const std::stop_token& stop);
  // Does nothing if the topic is there.
  void CreateTopic(const std::string& name, std::uint32_t partitions);
  pb::InitProducerResponse InitProducer();
  std::uint64_t Offset(const std::string& topic, std::uint32_t partition, pb::OffsetSpec spec,
                       std::int64_t timestamp_ms = 0);
  // A connection to the node that coordinates a group.
  std::shared_ptr<grpc::Channel> Coordinator(const std::string& group);

 private:
  struct Metadata {
    pb::TopicMetadata topic;
    std::map<std::uint32_t, std::string> addresses;
  };

  Metadata AskMetadata(const std::string& topic, const std::stop_token& stop);
  std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address);

  std::mutex mutex_;
  const std::vector<std::string> addresses_;
  std::size_t next_ = 0;
  std::string cluster_id_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_;
};

}  // namespace client
