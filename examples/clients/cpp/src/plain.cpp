// plain: single records in and out, at any node.
#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <thread>

#include "commands.h"
#include "records.h"

namespace client {
namespace {

constexpr std::int64_t kRecordsInRequest = 100;
constexpr std::uint32_t kPartitions = 2;

// Records that are to be stored.
struct Publishing {
  std::vector<bool> stored;
  std::atomic<std::uint64_t> sent = 0;
};

// Publishes through one stream what is not stored yet. A record without a result is sent again, and
// may be there twice: who minds takes the fast path.
void PublishThroughOneStream(Cluster& cluster, const Flags& flags, Publishing& publishing,
                             Patience& patience) {
  pb::RecordService::Stub stub(cluster.ConnectToAny({}));
  Duplex<pb::PublishRequest, pb::PublishResponse> stream(
      [&](grpc::ClientContext* context) { return stub.PublishStream(context); });
  auto& stored = publishing.stored;
  const std::vector<bool> before = stored;
  std::jthread sender([&](const std::stop_token& stop) {
    const std::stop_callback cancel(stop, [&stream] { stream.Cancel(); });
    pb::PublishRequest request;
    for (std::size_t n = 0; n < before.size() && !stop.stop_requested(); ++n) {
      if (!before[n]) {
        auto sample = SampleRecord(flags.Text("name"), static_cast<std::int64_t>(n));
        auto& record = *request.add_records();
        record.set_id(n);
        if (sample.has_key()) record.set_key(sample.key());
        if (sample.has_value()) record.set_value(sample.value());
        record.mutable_headers()->Swap(sample.mutable_headers());
        record.set_timestamp_ms(kFirstMs + static_cast<std::int64_t>(n));
      }
      const bool last = n + 1 == before.size();
      if (request.records_size() == kRecordsInRequest || (last && request.records_size() > 0)) {
        request.set_topic(flags.Text("topic"));
        publishing.sent += request.records_size();
        stream.Send(request);
        request.Clear();
      }
    }
    stream.HalfClose();
  });
  pb::PublishResponse response;
  std::optional<Refused> refused;
  while (stream.Receive(&response)) {
    for (const auto& result : response.results()) {
      if (!result.has_error()) {
        stored[result.id()] = true;
        continue;
      }
      auto error = result.error();
      error.set_retriable(error.retriable() || error.indefinite());
      refused = Refused(error);
      if (!refused->retriable()) throw *refused;
    }
    const auto count = std::count(stored.begin(), stored.end(), true);
    Say(JsonObject().Add("stored", static_cast<std::uint64_t>(count)).Done());
    patience.Progress();
  }
  const auto status = stream.Finish();
  sender.request_stop();
  sender.join();
  Check(status);
  if (refused) throw *refused;
  if (std::find(stored.begin(), stored.end(), false) != stored.end()) {
    throw Refused("OK", "the stream ended", true);
  }
}

// What was read, and where to go on, by partition.
struct Subscribing {
  std::uint64_t read = 0;
  std::map<std::uint32_t, std::uint64_t> positions;
};

// Reads on from the positions to what is the end when the stream begins.
void SubscribeOnce(Cluster& cluster, const std::string& topic, Subscribing& subscribing,
                   Patience& patience) {
  pb::RecordService::Stub stub(cluster.ConnectToAny({}));
  pb::SubscribeRequest request;
  request.set_topic(topic);
  request.set_start(pb::OFFSET_SPEC_EARLIEST);
  request.set_until_end(true);
  for (const auto& [partition, offset] : subscribing.positions) {
    auto& start = *request.add_offsets();
    start.set_partition(partition);
    start.set_offset(offset);
  }
  grpc::ClientContext context;
  const auto stream = stub.Subscribe(&context, request);
  pb::SubscribeResponse response;
  while (stream->Read(&response)) {
    std::vector<StoredRecord> records;
    for (auto& record : *response.mutable_records()) {
      const std::int64_t timestamp_ms =
          response.append_time_ms() != 0
              ? response.append_time_ms()
              : response.base_timestamp_ms() + record.timestamp_delta_ms();
      const std::uint64_t offset = response.base_offset() + record.offset_delta();
      records.push_back({response.partition(), offset, timestamp_ms, std::move(record)});
    }
    Say(records);
    subscribing.read += records.size();
    subscribing.positions[response.partition()] = response.next_offset();
    patience.Progress();
  }
  Check(stream->Finish());
}

}  // namespace

void Plain(Cluster& cluster, const Flags& flags) {
  const std::string topic = flags.Text("topic");
  cluster.CreateTopic(topic, kPartitions);
  cluster.Topic(topic);
  const auto count = static_cast<std::size_t>(flags.Number("records"));
  Publishing publishing{std::vector<bool>(count)};
  const Stopwatch since_begin;
  Patiently({}, [&](Patience& patience) {
    PublishThroughOneStream(cluster, flags, publishing, patience);
  });
  const double publish_seconds = since_begin.Seconds();
  Subscribing subscribing;
  const Stopwatch since_published;
  Patiently({}, [&](Patience& patience) { SubscribeOnce(cluster, topic, subscribing, patience); });
  Say(JsonObject()
          .Add("result", "plain")
          .Add("records", std::uint64_t{count})
          .Add("read", subscribing.read)
          .Add("resent", publishing.sent - count)
          .Add("publish_per_second", static_cast<double>(count) / publish_seconds)
          .Add("subscribe_per_second",
               static_cast<double>(subscribing.read) / since_published.Seconds())
          .Done());
}

}  // namespace client
