// Reading a partition from an offset on, from leader to leader.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <stop_token>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "cluster.h"
#include "records.h"

namespace client {

// What a response brought: records up to `next`.
struct Part {
  std::uint64_t reader_id;
  std::uint32_t partition;
  std::vector<StoredRecord> records;
  std::uint64_t next;
};

// A part, or why no more come.
using Delivery = std::variant<Part, std::exception_ptr>;

// Follows one partition on a thread of its own, as long as it lives.
class Reader {
 public:
  // Takes a delivery as soon as there is room for it.
  using Deliver = std::function<void(Delivery, const std::stop_token&)>;

  Reader(Cluster& cluster, std::uint64_t id, std::string topic, std::uint32_t partition,
         std::uint64_t position, Deliver deliver);

  std::uint64_t id() const { return id_; }

 private:
  void Run(const std::stop_token& stop);
  void Follow(Patience& patience, const std::stop_token& stop);
  Part Decode(const pb::FetchResponse& response) const;

  Cluster& cluster_;
  const std::uint64_t id_;
  const std::string topic_;
  const std::uint32_t partition_;
  std::uint64_t position_;
  const Deliver deliver_;
  std::jthread thread_;  // Last: it uses the others.
};

}  // namespace client
