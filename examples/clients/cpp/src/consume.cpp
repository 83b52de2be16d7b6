// consume and replay: all partitions, or one, from their start, an offset or a time.
#include <list>
#include <map>

#include "commands.h"
#include "mailbox.h"
#include "reader.h"

namespace client {
namespace {

constexpr std::size_t kPartsWaiting = 4;

}  // namespace

void SayConsumed(const std::string& command, std::uint64_t records, double seconds) {
  Say(JsonObject()
          .Add("result", command)
          .Add("records", records)
          .Add("seconds", seconds)
          .Add("per_second", static_cast<double>(records) / seconds)
          .Done());
}

void Consume(Cluster& cluster, const Flags& flags) {
  const Stopwatch stopwatch;
  const std::string topic = flags.Text("topic");
  const auto wanted = static_cast<std::uint64_t>(flags.Number("records"));
  const auto start_at = flags.Has("time-ms") ? pb::OFFSET_SPEC_TIMESTAMP : pb::OFFSET_SPEC_EARLIEST;
  Mailbox<Delivery> inbox(kPartsWaiting);
  std::map<std::uint32_t, std::uint64_t> ends;  // Of partitions that are not read to their end.
  std::list<Reader> readers;
  const auto deliver = [&inbox](Delivery delivery, const std::stop_token& stop) {
    inbox.Push(std::move(delivery), stop);
  };
  const auto metadata = cluster.Topic(topic);
  for (const auto& each : metadata.partitions()) {
    const std::uint32_t partition = each.partition();
    if (flags.Has("partition") && partition != flags.Number("partition")) continue;
    const std::uint64_t start =
        flags.Has("offset") ? static_cast<std::uint64_t>(flags.Number("offset"))
                            : cluster.Offset(topic, partition, start_at, flags.Number("time-ms"));
    const std::uint64_t end = cluster.Offset(topic, partition, pb::OFFSET_SPEC_LATEST);
    if (wanted == 0 && start >= end) continue;
    ends[partition] = end;
    readers.emplace_back(cluster, partition, topic, partition, start, deliver);
  }
  std::uint64_t count = 0;
  while (!ends.empty() && (wanted == 0 || count < wanted)) {
    const auto delivery = inbox.Pop();
    if (const auto* failure = std::get_if<std::exception_ptr>(&delivery)) {
      std::rethrow_exception(*failure);
    }
    const auto& part = std::get<Part>(delivery);
    count += part.records.size();
    if (flags.Text("print") != "0") Say(part.records);
    if (wanted == 0 && ends.contains(part.partition) && part.next >= ends[part.partition]) {
      ends.erase(part.partition);
    }
  }
  SayConsumed("consume", count, stopwatch.Seconds());
}

}  // namespace client
