#include "errors.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <random>
#include <set>
#include <string_view>

#include "status.pb.h"

namespace client {
namespace {

using std::chrono::milliseconds;

constexpr std::array<std::string_view, 17> kCodes = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

// A topic that was just made is not known everywhere yet, and replicas need nodes that registered.
bool EarlyDays(const std::string& reason) {
  static const std::set<std::string_view> reasons = {"UNKNOWN_TOPIC", "UNKNOWN_PARTITION",
                                                     "INVALID_REPLICATION_FACTOR"};
  return reasons.contains(reason);
}

// With a reason. OK is the end of a stream that should have gone on.
bool Retriable(grpc::StatusCode code) {
  return code == grpc::StatusCode::OK || code == grpc::StatusCode::UNAVAILABLE ||
         code == grpc::StatusCode::DEADLINE_EXCEEDED || code == grpc::StatusCode::CANCELLED ||
         code == grpc::StatusCode::RESOURCE_EXHAUSTED;
}

// A detail of a status, by its message type; grpc-status-details-bin names google.rpc's.
template <typename Detail>
bool Unpack(const google::protobuf::Any& any, std::string_view name, Detail* detail) {
  return any.type_url().ends_with(name) && detail->ParseFromString(any.value());
}

Refused Decode(const grpc::Status& status) {
  const int code = status.error_code();
  std::string reason(code >= 0 && code < int{kCodes.size()} ? kCodes[code] : "UNKNOWN");
  bool cut = true;  // Unless a node says why.
  milliseconds retry_after{0};
  Status details;
  details.ParseFromString(status.error_details());
  for (const auto& any : details.details()) {
    ErrorInfo info;
    RetryInfo retry;
    if (Unpack(any, "google.rpc.ErrorInfo", &info) && info.domain() == "streamlog") {
      reason = info.reason();
      cut = false;
    } else if (Unpack(any, "google.rpc.RetryInfo", &retry)) {
      const auto& delay = retry.retry_delay();
      retry_after = milliseconds(delay.seconds() * 1000 + delay.nanos() / 1'000'000);
    }
  }
  const bool retriable = cut || Retriable(status.error_code()) || EarlyDays(reason);
  return Refused(std::move(reason), status.error_message(), retriable, retry_after);
}

}  // namespace

Refused::Refused(std::string reason, const std::string& message, bool retriable,
                 milliseconds retry_after)
    : std::runtime_error(reason + ": " + message),
      reason_(std::move(reason)),
      retriable_(retriable),
      retry_after_(retry_after) {}

Refused::Refused(const pb::Error& error)
    : Refused(error.reason(), error.message(), error.retriable() || EarlyDays(error.reason()),
              milliseconds(error.retry_after_ms())) {}

Refused::Refused(const grpc::Status& status) : Refused(Decode(status)) {}

void Check(const grpc::Status& status) {
  if (!status.ok()) throw Refused(status);
}

void Patience::Progress() {
  pause_ = kFirst;
  since_ = Clock::now();
}

void Patience::AfterFailure(const Refused& refused) {
  if (Clock::now() - begun_ > kCallTimeout) Progress();  // It worked, though nothing may have come.
  if (!refused.retriable() || stop_.stop_requested() || Clock::now() - since_ > kPatience) throw;
  thread_local std::minstd_rand random{std::random_device{}()};
  std::uniform_real_distribution<double> jitter(0.75, 1.25);
  const auto pause = std::max(pause_, refused.retry_after()) * jitter(random);
  pause_ = std::min(2 * pause_, kLongest);
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_for(lock, stop_, pause, [] { return false; });
}

}  // namespace client
