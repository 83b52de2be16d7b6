// produce: zstd batches, idempotent, sent again to the next leader when one is lost.
#include <atomic>
#include <deque>
#include <list>
#include <thread>
#include <utility>
#include <variant>

#include "batch.h"
#include "commands.h"
#include "mailbox.h"

namespace client {
namespace {

constexpr std::size_t kUnansweredMax = 5;
constexpr std::uint32_t kPartitions = 3;

using Records = std::vector<pb::Record>;

// What the producers of all partitions have in common.
struct Production {
  std::atomic<std::uint64_t> stored = 0, duplicates = 0, resent = 0;
  std::stop_source failed;

  void Fail(std::exception_ptr why) {
    const std::lock_guard lock(mutex);
    if (!error) error = std::move(why);
    failed.request_stop();
  }

  std::mutex mutex;
  std::exception_ptr error;
};

// Stores what it is given in one partition, in order, on a thread of its own.
class PartitionProducer {
 public:
  PartitionProducer(Cluster& cluster, std::string topic, const Origin& origin,
                    Production& production)
      : cluster_(cluster),
        topic_(std::move(topic)),
        origin_(origin),
        production_(production),
        thread_([this] { Run(); }) {}

  // Waits while enough is on its way; false when the production has failed.
  bool Add(Records records) {
    return inbox_.Push(std::move(records), production_.failed.get_token());
  }

  // No more will be added. Waits until everything is stored.
  void Close() {
    inbox_.Post(Records());
    thread_.join();
  }

 private:
  struct Ended {};
  // No records: there are no more.
  using Event = std::variant<Records, pb::ProduceResult, Ended>;
  using Stream = Duplex<pb::ProduceRequest, pb::ProduceResponse>;

  void Run() {
    try {
      Patiently({}, [this](Patience& patience) { StoreThroughOneStream(patience); });
    } catch (...) {
      production_.Fail(std::current_exception());
    }
  }

  // Whenever something goes wrong the stream is given up, and what is unanswered is sent again to
  // the leader of then: the same bytes, in order.
  void StoreThroughOneStream(Patience& patience) {
    const auto leader = cluster_.LeaderOf(topic_, origin_.partition, {});
    inbox_.Discard([](const Event& event) { return !std::holds_alternative<Records>(event); });
    Stream stream([&](grpc::ClientContext* context) { return leader.stub->Produce(context); });
    std::jthread receiver([&](const std::stop_token& stop) { Receive(stream, stop); });
    production_.resent += pending_.size();
    for (const auto& batch : pending_) Send(stream, leader.topic_id, batch);
    while (!closed_ || !pending_.empty()) {
      auto event = inbox_.Pop(Clock::now() + kCallTimeout, [this](const Event& each) {
        return !std::holds_alternative<Records>(each) || pending_.size() < kUnansweredMax;
      });
      if (!event && pending_.empty()) continue;
      if (!event) throw Refused("DEADLINE_EXCEEDED", "a batch was not answered", true);
      std::visit(Overloaded{[&](Records& records) {
                              closed_ = records.empty();
                              if (!closed_) Send(stream, leader.topic_id, Append(records));
                            },
                            [&](const pb::ProduceResult& result) {
                              TakeResult(result);
                              patience.Progress();
                            },
                            [&](Ended) {
                              receiver.join();
                              throw Refused(stream.Finish());
                            }},
                 *event);
    }
    stream.HalfClose();
  }

  void Receive(Stream& stream, const std::stop_token& stop) {
    const std::stop_callback cancel(stop, [&stream] { stream.Cancel(); });
    pb::ProduceResponse response;
    while (stream.Receive(&response)) {
      for (auto& result : *response.mutable_results()) inbox_.Post(std::move(result));
    }
    inbox_.Post(Ended());
  }

  const pb::RecordBatch& Append(Records& records) {
    pending_.push_back(MakeBatch(std::move(records), kFirstMs, origin_, sequence_));
    sequence_ = NextSequence(sequence_, pending_.back().record_count());
    return pending_.back();
  }

  // A sequence names a request: it is unique among the few that are unanswered.
  static void Send(Stream& stream, std::uint64_t topic_id, const pb::RecordBatch& batch) {
    pb::ProduceRequest request;
    auto& entry = *request.add_entries();
    entry.set_request_id(batch.base_sequence());
    entry.set_topic_id(topic_id);
    *entry.mutable_batch() = batch;
    stream.Send(request);
  }

  // Results of a partition come in order: this is the one of the oldest batch.
  void TakeResult(const pb::ProduceResult& result) {
    const auto& batch = pending_.front();
    if (result.request_id() != batch.base_sequence()) {
      throw std::runtime_error("an answer to another batch than the oldest");
    }
    const bool known = result.has_error() && result.error().reason() == "DUPLICATE_SEQUENCE";
    if (result.has_error() && !known) throw Refused(result.error());
    if (known || result.duplicate()) ++production_.duplicates;
    const std::uint64_t stored = production_.stored += batch.record_count();
    pending_.pop_front();
    Say(JsonObject().Add("stored", stored).Done());
  }

  Cluster& cluster_;
  const std::string topic_;
  const Origin origin_;
  Production& production_;
  Mailbox<Event> inbox_{2};
  std::deque<pb::RecordBatch> pending_;  // Unanswered, oldest first.
  std::uint32_t sequence_ = 0;
  bool closed_ = false;
  std::jthread thread_;  // Last: it uses the others.
};

// Gives records to partitions: by their keys; those without one where a batch is being filled.
class Router {
 public:
  Router(std::list<PartitionProducer>& producers, const Flags& flags)
      : batch_size_(static_cast<std::size_t>(flags.Number("batch"))),
        pause_(flags.Number("pause-ms")) {
    for (auto& each : producers) fillings_.push_back({each, {}});
  }

  // False when the production has failed.
  bool Route(pb::Record record) {
    const auto count = static_cast<std::uint32_t>(fillings_.size());
    auto& [producer, records] =
        fillings_[record.has_key() ? PartitionOf(record.key(), count) : home_];
    records.push_back(std::move(record));
    if (records.size() < batch_size_) return true;
    if (!producer.Add(std::exchange(records, {}))) return false;
    home_ = (home_ + 1) % count;
    std::this_thread::sleep_for(pause_);
    return true;
  }

  // The batches that are not full.
  void Flush() {
    for (auto& [producer, records] : fillings_) {
      if (!records.empty()) producer.Add(std::exchange(records, {}));
    }
  }

 private:
  struct Filling {
    PartitionProducer& producer;
    Records records;
  };

  const std::size_t batch_size_;
  const std::chrono::milliseconds pause_;
  std::vector<Filling> fillings_;
  std::uint32_t home_ = 0;
};

}  // namespace

void Produce(Cluster& cluster, const Flags& flags) {
  const std::string name = flags.Text("topic");
  cluster.CreateTopic(name, kPartitions);
  const auto topic = cluster.Topic(name);
  if (topic.routing().function() != "crc32") {
    throw std::runtime_error("unknown routing " + topic.routing().function());
  }
  const auto producer = cluster.InitProducer();
  const Stopwatch stopwatch;
  Production production;
  std::list<PartitionProducer> producers;
  for (std::uint32_t i = 0; i < topic.routing().partition_count(); ++i) {
    const Origin origin{i, topic.routing().epoch(), producer.producer_id(),
                        producer.producer_epoch()};
    producers.emplace_back(cluster, name, origin, production);
  }
  Router router(producers, flags);
  const std::int64_t count = flags.Number("records");
  for (std::int64_t n = 0; n < count; ++n) {
    if (!router.Route(SampleRecord(flags.Text("name"), n))) break;
  }
  router.Flush();
  for (auto& each : producers) each.Close();
  if (production.error) std::rethrow_exception(production.error);
  const double seconds = stopwatch.Seconds();
  Say(JsonObject()
          .Add("result", "produce")
          .Add("records", std::uint64_t{production.stored})
          .Add("seconds", seconds)
          .Add("per_second", static_cast<double>(count) / seconds)
          .Add("duplicates", std::uint64_t{production.duplicates})
          .Add("resent", std::uint64_t{production.resent})
          .Done());
}

}  // namespace client
