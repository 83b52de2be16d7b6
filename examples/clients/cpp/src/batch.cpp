#include "batch.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <concepts>
#include <memory>

#include "checksums.h"

namespace client {
namespace {

// format_and_flags.
constexpr std::uint32_t kFormatMask = 0xff, kFormat = 1;
constexpr std::uint32_t kCodecMask = 0xf00, kCodecNone = 1 << 8, kCodecZstd = 2 << 8;
constexpr std::uint32_t kAppendTime = 1 << 12, kControl = 1 << 13, kHasProducer = 1 << 15;
constexpr std::uint32_t kDeleteHorizon = 1 << 17, kEncrypted = 1 << 18;

constexpr std::uint32_t kPayloadBytesMax = 64 << 20;
constexpr int kWindowLogMax = 23;
constexpr int kLevel = 1;

void AppendLittleEndian(std::string& to, std::unsigned_integral auto number) {
  for (std::size_t i = 0; i < sizeof number; ++i) to += static_cast<char>(number >> (8 * i));
}

// Contexts are worth keeping: one of each kind for each thread.
ZSTD_CCtx* Compressor() {
  thread_local const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                                  &ZSTD_freeCCtx);
  return context.get();
}

ZSTD_DCtx* Decompressor() {
  thread_local const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context = [] {
    std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> made(ZSTD_createDCtx(), &ZSTD_freeDCtx);
    ZSTD_DCtx_setParameter(made.get(), ZSTD_d_windowLogMax, kWindowLogMax);
    return made;
  }();
  return context.get();
}

std::string Compress(const std::string& plain) {
  std::string payload(ZSTD_compressBound(plain.size()), '\0');
  const std::size_t size = ZSTD_compressCCtx(Compressor(), payload.data(), payload.size(),
                                             plain.data(), plain.size(), kLevel);
  if (ZSTD_isError(size)) throw BadBatch(ZSTD_getErrorName(size));
  payload.resize(size);
  return payload;
}

}  // namespace

std::uint32_t PartitionOf(const std::string& key, std::uint32_t partitions) {
  const auto* bytes = reinterpret_cast<const Bytef*>(key.data());
  return static_cast<std::uint32_t>(crc32_z(0, bytes, key.size())) % partitions;
}

std::string Packed(const pb::RecordBatch& batch) {
  const bool append_time = batch.format_and_flags() & kAppendTime;
  std::string packed;
  AppendLittleEndian(packed, batch.format_and_flags() & ~(kAppendTime | kDeleteHorizon));
  AppendLittleEndian(packed, batch.partition());
  AppendLittleEndian(packed, batch.last_offset_delta());
  AppendLittleEndian(packed, batch.record_count());
  AppendLittleEndian(packed, static_cast<std::uint64_t>(batch.first_timestamp_ms()));
  AppendLittleEndian(packed,
                     append_time ? 0 : static_cast<std::uint64_t>(batch.max_timestamp_ms()));
  AppendLittleEndian(packed, batch.producer_id());
  AppendLittleEndian(packed, batch.producer_epoch());
  AppendLittleEndian(packed, batch.base_sequence());
  AppendLittleEndian(packed, batch.schema_id());
  AppendLittleEndian(packed, batch.routing_epoch());
  AppendLittleEndian(packed, batch.encryption_key_id());
  AppendLittleEndian(packed, batch.uncompressed_bytes());
  return packed;
}

std::uint32_t Checksum(const pb::RecordBatch& batch) {
  return Crc32c(batch.payload(), Crc32c(Packed(batch)));
}

pb::RecordBatch MakeBatch(std::vector<pb::Record> records, std::int64_t first_ms,
                          const Origin& origin, std::uint32_t sequence) {
  const auto count = static_cast<std::uint32_t>(records.size());
  std::int64_t last_ms = records.front().timestamp_delta_ms();
  pb::RecordSet set;
  for (std::uint32_t i = 0; i < count; ++i) {
    records[i].set_offset_delta(i);
    last_ms = std::max(last_ms, records[i].timestamp_delta_ms());
    *set.add_records() = std::move(records[i]);
  }
  const std::string plain = set.SerializeAsString();
  pb::RecordBatch batch;
  batch.set_format_and_flags(kFormat | kCodecZstd | kHasProducer);
  batch.set_partition(origin.partition);
  batch.set_last_offset_delta(count - 1);
  batch.set_record_count(count);
  batch.set_first_timestamp_ms(first_ms);
  batch.set_max_timestamp_ms(first_ms + last_ms);
  batch.set_producer_id(origin.producer_id);
  batch.set_producer_epoch(origin.producer_epoch);
  batch.set_base_sequence(sequence);
  batch.set_routing_epoch(origin.routing_epoch);
  batch.set_uncompressed_bytes(static_cast<std::uint32_t>(plain.size()));
  batch.set_payload(Compress(plain));
  batch.set_payload_crc32c(Checksum(batch));
  return batch;
}

std::string PlainPayload(const pb::RecordBatch& batch) {
  const std::uint32_t flags = batch.format_and_flags(), size = batch.uncompressed_bytes();
  if ((flags & kFormatMask) > kFormat || flags & kEncrypted) {
    throw BadBatch("its format is newer than this client");
  }
  if (Checksum(batch) != batch.payload_crc32c()) {
    throw WrongChecksum("the batch at " + std::to_string(batch.base_offset()) +
                        " fails its checksum");
  }
  if (size > kPayloadBytesMax) throw BadBatch("a payload of " + std::to_string(size) + " bytes");
  if ((flags & kCodecMask) == kCodecNone) return batch.payload();
  std::string plain(size, '\0');
  const std::size_t found = ZSTD_decompressDCtx(Decompressor(), plain.data(), plain.size(),
                                                batch.payload().data(), batch.payload().size());
  if (ZSTD_isError(found)) throw BadBatch(ZSTD_getErrorName(found));
  if (found != size) throw BadBatch("a payload of another size than it says");
  return plain;
}

void ReadBatch(const pb::RecordBatch& batch, std::uint64_t from, std::vector<StoredRecord>& to) {
  if (batch.format_and_flags() & kControl) return;
  pb::RecordSet set;
  if (!set.ParseFromString(PlainPayload(batch))) throw BadBatch("a payload that is no RecordSet");
  const bool append_time = batch.format_and_flags() & kAppendTime;
  for (auto& record : *set.mutable_records()) {
    const std::uint64_t offset = batch.base_offset() + record.offset_delta();
    const std::int64_t timestamp_ms =
        append_time ? batch.max_timestamp_ms()
                    : batch.first_timestamp_ms() + record.timestamp_delta_ms();
    if (offset >= from) {
      to.push_back({batch.partition(), offset, timestamp_ms, std::move(record)});
    }
  }
}

}  // namespace client
