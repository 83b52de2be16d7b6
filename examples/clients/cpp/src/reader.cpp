#include "reader.h"

#include "batch.h"

namespace client {
namespace {

constexpr std::uint64_t kWindowBytes = 8 << 20;  // On their way to this reader.

}  // namespace

Reader::Reader(Cluster& cluster, std::uint64_t id, std::string topic, std::uint32_t partition,
               std::uint64_t position, Deliver deliver)
    : cluster_(cluster),
      id_(id),
      topic_(std::move(topic)),
      partition_(partition),
      position_(position),
      deliver_(std::move(deliver)),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

void Reader::Run(const std::stop_token& stop) {
  try {
    Patiently(stop, [&](Patience& patience) { Follow(patience, stop); });
  } catch (...) {
    if (!stop.stop_requested()) deliver_(std::current_exception(), stop);
  }
}

// One stream, to its end: returns when it is to stop.
void Reader::Follow(Patience& patience, const std::stop_token& stop) {
  const auto leader = cluster_.LeaderOf(topic_, partition_, stop);
  Duplex<pb::FetchRequest, pb::FetchResponse> stream(
      [&](grpc::ClientContext* context) { return leader.stub->Fetch(context); });
  const std::stop_callback cancel(stop, [&stream] { stream.Cancel(); });
  pb::FetchRequest request;
  request.set_credit_bytes(kWindowBytes);
  auto& partition = *request.add_partitions();
  partition.set_topic_id(leader.topic_id);
  partition.set_partition(partition_);
  partition.set_offset(position_);
  partition.set_session_epoch(1);
  pb::FetchResponse response;
  while (!stop.stop_requested()) {
    stream.Send(request);
    if (!stream.Receive(&response)) throw Refused(stream.Finish());
    if (response.has_error()) throw Refused(response.error());
    deliver_(Decode(response), stop);
    position_ = response.next_offset();
    patience.Progress();
    request.Clear();
    request.set_credit_bytes(response.ByteSizeLong());
  }
}

Part Reader::Decode(const pb::FetchResponse& response) const {
  Part part{id_, partition_, {}, response.next_offset()};
  try {
    for (const auto& batch : response.batches()) ReadBatch(batch, position_, part.records);
  } catch (const WrongChecksum& wrong) {
    throw Refused("CORRUPT_BATCH", wrong.what(), true);
  }
  return part;
}

}  // namespace client
