#include "member.h"

#include <algorithm>
#include <iostream>
#include <random>

namespace client {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSessionTimeout{10'000}, kCommitInterval{100};
constexpr std::size_t kPartsWaiting = 4;

std::string RandomId() {
  std::random_device random;
  std::string bytes;
  for (int i = 0; i < 16; ++i) bytes += static_cast<char>(random());
  return ToHex(bytes);
}

}  // namespace

Member::Member(Cluster& cluster, std::string topic, std::string group)
    : cluster_(cluster),
      topic_(std::move(topic)),
      group_(std::move(group)),
      member_id_(RandomId()),
      session_timeout_(kSessionTimeout),
      heartbeat_interval_(kSessionTimeout / 6),
      inbox_(std::make_shared<Mailbox<Event>>(kPartsWaiting)) {}

std::function<void()> Member::Closer() {
  return [inbox = inbox_] { inbox->Post(Closing()); };
}

void Member::Run() {
  Patiently({}, [this](Patience& patience) {
    try {
      RunSession(patience);
    } catch (const Refused& refused) {
      const std::string& reason = refused.reason();
      Say(JsonObject().Add("rejoining", reason).Done());
      if (reason == "UNKNOWN_MEMBER" || reason == "STALE_MEMBER_EPOCH" ||
          reason == "STREAM_REPLACED") {
        if (left_) return;  // It left, and the answer was lost.
        BeginAnew();
        throw Refused(reason, "joins as a new member", true);
      }
      left_ = false;
      throw;
    }
  });
}

void Member::BeginAnew() {
  holds_.clear();
  member_id_ = RandomId();
  epoch_ = 0;
}

// One stream to the coordinator, from join to its end: returns when the member has left.
void Member::RunSession(Patience& patience) {
  pb::GroupService::Stub stub(cluster_.Coordinator(group_));
  inbox_->Discard([](const Event& event) {  // Of the stream before.
    return std::holds_alternative<pb::MemberResponse>(event) ||
           std::holds_alternative<Ended>(event);
  });
  Session session(stub);
  Join(session);
  std::jthread receiver([&](const std::stop_token& stop) { Receive(session.stream, stop); });
  auto heartbeat_at = Clock::now() + heartbeat_interval_, commit_at = Clock::now();
  for (;;) {
    const auto now = Clock::now();
    if (now >= heartbeat_at) {
      Heartbeat(session);
      heartbeat_at = now + heartbeat_interval_;
    }
    if (now >= commit_at) {
      CommitAll(session);
      commit_at = now + kCommitInterval;
    }
    LeaveOnceCommitted(session);
    const auto event = inbox_->Pop(std::min(heartbeat_at, commit_at), [this](const Event& each) {
      return !std::holds_alternative<Delivery>(each) || !(leaving_ || Fenced());
    });
    if (!event) continue;
    if (std::holds_alternative<Ended>(*event)) {
      receiver.join();
      const auto status = session.stream.Finish();
      if (status.ok() && left_) return;
      throw Refused(status);
    }
    std::visit(Overloaded{[&](const Delivery& delivery) { Handle(delivery); },
                          [&](const pb::MemberResponse& told) { Take(session, told, patience); },
                          [&](Closing) { leaving_ = true; }, [](Ended) {}},
               *event);
  }
}

void Member::Receive(Stream& stream, const std::stop_token& stop) {
  const std::stop_callback cancel(stop, [&stream] { stream.Cancel(); });
  pb::MemberResponse response;
  while (stream.Receive(&response)) inbox_->Post(response);
  inbox_->Post(Ended());
}

void Member::Join(Session& session) {
  pb::MemberRequest request;
  auto& join = *request.mutable_join();
  join.set_group(group_);
  join.set_member_id(member_id_);
  join.add_topics(topic_);
  join.set_client_id("cpp");
  join.set_member_epoch(epoch_);
  join.set_session_timeout_ms(static_cast<std::uint32_t>(kSessionTimeout.count()));
  session.stream.Send(request);
}

void Member::Heartbeat(Session& session) {
  session.heartbeats[++sequence_] = Clock::now();
  pb::MemberRequest request;
  auto& heartbeat = *request.mutable_heartbeat();
  heartbeat.set_sequence(sequence_);
  heartbeat.set_member_epoch(epoch_);
  heartbeat.set_assigned_count(assigned_count_);
  heartbeat.set_handled_count(handled_);
  session.stream.Send(request);
}

// Sends positions that moved. Until the next assignment whatever is held is held at the member's
// epoch, so that is the one to name.
void Member::Commit(Session& session, const std::vector<std::uint32_t>& partitions) {
  Offsets offsets;
  pb::MemberRequest request;
  auto& commit = *request.mutable_commit();
  for (const auto partition : partitions) {
    const auto& hold = holds_.at(partition);
    if (hold.position == hold.committed) continue;
    offsets[partition] = hold.position;
    auto& offset = *commit.add_offsets();
    offset.set_topic_id(hold.topic_id);
    offset.set_partition(partition);
    offset.set_offset(hold.position);
  }
  if (offsets.empty() || Fenced()) return;
  session.commits[++sequence_] = std::move(offsets);
  commit.set_sequence(sequence_);
  commit.set_member_epoch(epoch_);
  session.stream.Send(request);
}

void Member::CommitAll(Session& session) {
  ++handled_;  // It looked, and is alive.
  if (!session.commits.empty()) return;
  std::vector<std::uint32_t> partitions;
  for (const auto& [partition, hold] : holds_) partitions.push_back(partition);
  Commit(session, partitions);
}

void Member::LeaveOnceCommitted(Session& session) {
  if (!leaving_ || left_ || epoch_ == 0) return;
  for (const auto& [partition, hold] : holds_) {
    if (hold.position != hold.committed) return;
  }
  left_ = true;
  pb::MemberRequest request;
  request.mutable_leave();
  session.stream.Send(request);
}

void Member::Take(Session& session, const pb::MemberResponse& response, Patience& patience) {
  if (response.has_assignment()) {
    confirmed_at_ = std::max(confirmed_at_, session.joined_at);
    Take(session, response.assignment());
  } else if (response.has_heartbeat()) {
    const auto sent = session.heartbeats.extract(response.heartbeat().sequence());
    if (sent) confirmed_at_ = std::max(confirmed_at_, sent.mapped());
    patience.Progress();
  } else if (response.has_commit()) {
    Take(session, response.commit());
  } else if (response.has_error()) {
    std::cerr << Refused(response.error()).what() << std::endl;
  }
}

void Member::Take(Session& session, const pb::MemberCommitAnswer& answer) {
  const auto committed = session.commits.extract(answer.sequence());
  // Refused: the newest positions are sent again, if the partitions are still held.
  if (!committed || answer.has_error()) return;
  JsonObject offsets;
  for (const auto& [partition, offset] : committed.mapped()) {
    offsets.Add(std::to_string(partition), offset);
    const auto hold = holds_.find(partition);
    if (hold != holds_.end()) hold->second.committed = std::max(hold->second.committed, offset);
  }
  Say(JsonObject().AddJson("committed", offsets.Done()).Done());
}

// Compares what it owns with what it holds.
void Member::Take(Session& session, const pb::MemberAssignment& assignment) {
  CommitRevoked(session, assignment);
  epoch_ = assignment.member_epoch();
  assigned_count_ = static_cast<std::uint32_t>(assignment.assigned_size());
  session_timeout_ = milliseconds(assignment.session_timeout_ms());
  heartbeat_interval_ = milliseconds(assignment.heartbeat_interval_ms());
  std::map<std::uint32_t, std::uint64_t> grants;
  std::vector<std::uint32_t> numbers;
  for (const auto& each : assignment.assigned()) {
    grants[each.partition()] = each.grant_epoch();
    numbers.push_back(each.partition());
  }
  std::erase_if(holds_, [&grants](const auto& item) {  // Given up, or lost: then without a commit.
    const auto grant = grants.find(item.first);
    return grant == grants.end() || grant->second != item.second.grant_epoch;
  });
  for (const auto& each : assignment.assigned()) {
    if (holds_.contains(each.partition())) continue;
    const std::uint64_t position = each.committed().offset();  // 0 where there is none.
    holds_[each.partition()] = {each.topic_id(), each.grant_epoch(), position, position,
                                ReaderFrom(each.partition(), position)};
  }
  Say(JsonObject()
          .AddJson("assigned", JsonOf(numbers))
          .Add("epoch", assignment.member_epoch())
          .Done());
  if (assignment.revoking_size() > 0) Acknowledge(session, assignment);
}

// At the epoch at which the positions were taken: if one was reset since, and granted anew, this
// must not undo it.
void Member::CommitRevoked(Session& session, const pb::MemberAssignment& assignment) {
  std::vector<std::uint32_t> held;
  for (const auto& each : assignment.revoking()) {
    if (holds_.contains(each.partition())) held.push_back(each.partition());
  }
  Commit(session, held);
}

// What was committed before it is judged before it.
void Member::Acknowledge(Session& session, const pb::MemberAssignment& assignment) {
  std::vector<std::uint32_t> revoked;
  pb::MemberRequest request;
  auto& acknowledge = *request.mutable_acknowledge();
  acknowledge.set_member_epoch(assignment.member_epoch());
  *acknowledge.mutable_revoked() = assignment.revoking();
  for (const auto& each : assignment.revoking()) revoked.push_back(each.partition());
  Say(JsonObject().AddJson("revoked", JsonOf(revoked)).Done());
  session.stream.Send(request);
}

// Hands out records, and looks at the clock before each of them.
void Member::Handle(const Delivery& delivery) {
  if (const auto* failure = std::get_if<std::exception_ptr>(&delivery)) {
    std::rethrow_exception(*failure);
  }
  const auto& part = std::get<Part>(delivery);
  const auto found = holds_.find(part.partition);
  if (found == holds_.end() || found->second.reader->id() != part.reader_id) {
    return;  // Read for a grant that has ended.
  }
  auto& hold = found->second;
  for (const auto& record : part.records) {
    if (Fenced()) {  // What is left is read again, and handed out if it is still held then.
      hold.reader = ReaderFrom(part.partition, hold.position);
      return;
    }
    Say(JsonOf(record));
    hold.position = record.offset + 1;
    ++records_;
    ++handled_;
  }
  hold.position = part.next;
}

std::unique_ptr<Reader> Member::ReaderFrom(std::uint32_t partition, std::uint64_t position) {
  return std::make_unique<Reader>(
      cluster_, ++readers_, topic_, partition, position,
      [inbox = inbox_.get()](Delivery delivery, const std::stop_token& stop) {
        inbox->Push(std::move(delivery), stop);
      });
}

}  // namespace client
