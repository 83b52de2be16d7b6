// Refusals, and how long to go on in spite of them.
#pragma once

#include <chrono>
#include <concepts>
#include <stdexcept>
#include <stop_token>
#include <string>

#include "protocol.h"

namespace client {

using Clock = std::chrono::steady_clock;

inline constexpr std::chrono::seconds kCallTimeout{10};
inline constexpr std::chrono::seconds kPatience{60};

// A request that failed: as a node said it, in a stream or by a status, or because a call was cut.
class Refused : public std::runtime_error {
 public:
  Refused(std::string reason, const std::string& message, bool retriable,
          std::chrono::milliseconds retry_after = {});
  explicit Refused(const pb::Error& error);
  explicit Refused(const grpc::Status& status);

  // The stable name of the refusal; of a call that was cut, that of its status code.
  const std::string& reason() const { return reason_; }
  // The same may succeed later, perhaps at another node.
  bool retriable() const { return retriable_; }
  std::chrono::milliseconds retry_after() const { return retry_after_; }

 private:
  std::string reason_;
  bool retriable_;
  std::chrono::milliseconds retry_after_;
};

// Throws unless the status is OK.
void Check(const grpc::Status& status);

// Pauses between attempts: longer and longer, until something succeeds.
class Patience {
 public:
  explicit Patience(std::stop_token stop) : stop_(std::move(stop)) {}

  // Another attempt begins.
  void Begin() { begun_ = Clock::now(); }
  // Something succeeded.
  void Progress();
  // Pauses. Rethrows what is being handled if it is final, or has gone on for too long, or if the
  // work is to stop.
  void AfterFailure(const Refused& refused);

 private:
  static constexpr std::chrono::milliseconds kFirst{50}, kLongest{1000};

  std::stop_token stop_;
  std::chrono::milliseconds pause_ = kFirst;
  Clock::time_point since_ = Clock::now(), begun_ = since_;
};

// Repeats the work until it returns, or fails for good.
template <std::invocable<Patience&> Work>
auto Patiently(std::stop_token stop, Work work) {
  Patience patience(std::move(stop));
  for (;;) {
    patience.Begin();
    try {
      return work(patience);
    } catch (const Refused& refused) {
      patience.AfterFailure(refused);
    }
  }
}

}  // namespace client
