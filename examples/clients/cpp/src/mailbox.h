// How threads hand things to each other.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>

#include "errors.h"

namespace client {

// A queue from many threads to one.
template <typename T>
class Mailbox {
 public:
  explicit Mailbox(std::size_t capacity) : capacity_(capacity) {}

  // Waits for room; false if it was stopped meanwhile.
  bool Push(T item, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [this] { return items_.size() < capacity_; })) return false;
    items_.push_back(std::move(item));
    changed_.notify_all();
    return true;
  }

  // Never waits: for answers, of which there are only as many as there were requests.
  void Post(T item) {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
    changed_.notify_all();
  }

  // The first item that is accepted; nothing if none came in time.
  template <std::predicate<const T&> Accept>
  std::optional<T> Pop(Clock::time_point deadline, Accept accept) {
    std::unique_lock lock(mutex_);
    auto found = items_.end();
    changed_.wait_until(lock, deadline, [&] {
      found = std::find_if(items_.begin(), items_.end(), accept);
      return found != items_.end();
    });
    if (found == items_.end()) return std::nullopt;
    std::optional<T> item(std::move(*found));
    items_.erase(found);
    changed_.notify_all();
    return item;
  }

  T Pop() {
    for (;;) {
      auto item = Pop(Clock::now() + kCallTimeout, [](const T&) { return true; });
      if (item) return std::move(*item);
    }
  }

  template <std::predicate<const T&> Discarded>
  void Discard(Discarded discarded) {
    const std::lock_guard lock(mutex_);
    std::erase_if(items_, discarded);
    changed_.notify_all();
  }

 private:
  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<T> items_;
};

// Lambdas that are one visitor together.
template <typename... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};

}  // namespace client
