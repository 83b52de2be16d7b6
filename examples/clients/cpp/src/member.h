// A member of a group, over all its streams to coordinators.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cluster.h"
#include "mailbox.h"
#include "reader.h"

namespace client {

// Reads what it is assigned and commits it. Everything but `Close` is done by one thread: readers
// and the stream's receiver put what they have into its inbox.
class Member {
 public:
  Member(Cluster& cluster, std::string topic, std::string group);

  // Until it was closed, and has left. Throws if it can not go on.
  void Run();

  // What another thread calls to close it; works even if the member is gone.
  std::function<void()> Closer();

  std::uint64_t records() const { return records_; }

 private:
  struct Ended {};
  struct Closing {};
  using Event = std::variant<Delivery, pb::MemberResponse, Ended, Closing>;
  using Stream = Duplex<pb::MemberRequest, pb::MemberResponse>;
  using Offsets = std::map<std::uint32_t, std::uint64_t>;

  // A partition that it owns, since a grant.
  struct Hold {
    std::uint64_t topic_id, grant_epoch;
    std::uint64_t position, committed;
    std::unique_ptr<Reader> reader;
  };

  // What belongs to one stream.
  struct Session {
    explicit Session(pb::GroupService::Stub& stub)
        : stream([&](grpc::ClientContext* context) { return stub.Membership(context); }) {}

    Stream stream;
    Clock::time_point joined_at = Clock::now();
    std::map<std::uint64_t, Clock::time_point> heartbeats;  // Unanswered: when they were sent.
    std::map<std::uint64_t, Offsets> commits;               // Unanswered.
  };

  void RunSession(Patience& patience);
  void Receive(Stream& stream, const std::stop_token& stop);
  void Join(Session& session);
  void Heartbeat(Session& session);
  void Commit(Session& session, const std::vector<std::uint32_t>& partitions);
  void CommitAll(Session& session);
  void LeaveOnceCommitted(Session& session);

  void Take(Session& session, const pb::MemberResponse& response, Patience& patience);
  void Take(Session& session, const pb::MemberAssignment& assignment);
  void Take(Session& session, const pb::MemberCommitAnswer& answer);
  void CommitRevoked(Session& session, const pb::MemberAssignment& assignment);
  void Acknowledge(Session& session, const pb::MemberAssignment& assignment);
  void Handle(const Delivery& delivery);

  std::unique_ptr<Reader> ReaderFrom(std::uint32_t partition, std::uint64_t position);
  // Somebody else may own by now what it holds.
  bool Fenced() const { return Clock::now() - confirmed_at_ > session_timeout_; }
  void BeginAnew();

  Cluster& cluster_;
  const std::string topic_, group_;
  std::string member_id_;
  std::uint64_t epoch_ = 0;
  std::uint32_t assigned_count_ = 0;
  std::chrono::milliseconds session_timeout_, heartbeat_interval_;
  Clock::time_point confirmed_at_{};  // When the last heartbeat that was answered was sent.
  std::uint64_t sequence_ = 0, handled_ = 0, records_ = 0, readers_ = 0;
  bool leaving_ = false, left_ = false;
  std::shared_ptr<Mailbox<Event>> inbox_;
  std::map<std::uint32_t, Hold> holds_;  // Last: their readers use the inbox.
};

}  // namespace client
