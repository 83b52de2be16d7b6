// Batches: made, sealed with a checksum, and read back.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "protocol.h"
#include "records.h"

namespace client {

inline constexpr std::uint64_t kSequences = 1ull << 31;

// A batch that contradicts itself, or that this client is too old for.
class BadBatch : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// It was damaged on its way: worth fetching again.
class WrongChecksum : public BadBatch {
 public:
  using BadBatch::BadBatch;
};

// What all batches of a producer in a partition have.
struct Origin {
  std::uint32_t partition;
  std::uint32_t routing_epoch;
  std::uint64_t producer_id;
  std::uint32_t producer_epoch;
};

// The sequence that follows a batch.
constexpr std::uint32_t NextSequence(std::uint32_t base, std::uint32_t records) {
  return static_cast<std::uint32_t>((std::uint64_t{base} + records) % kSequences);
}

// Which of so many partitions has a key, or a group.
std::uint32_t PartitionOf(const std::string& key, std::uint32_t partitions);

// What the checksum covers before the payload.
std::string Packed(const pb::RecordBatch& batch);
std::uint32_t Checksum(const pb::RecordBatch& batch);

// One zstd batch of records whose times count from first_ms.
pb::RecordBatch MakeBatch(std::vector<pb::Record> records, std::int64_t first_ms,
                          const Origin& origin, std::uint32_t sequence);

// The serialized RecordSet; nothing of a batch is believed before its checksum. Throws BadBatch.
std::string PlainPayload(const pb::RecordBatch& batch);

// Appends the records of a batch from an offset on. Throws BadBatch.
void ReadBatch(const pb::RecordBatch& batch, std::uint64_t from, std::vector<StoredRecord>& to);

}  // namespace client
