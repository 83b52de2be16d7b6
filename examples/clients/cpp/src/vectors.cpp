// vectors: this program against proto/testdata, whose JSON protobuf itself reads.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <optional>

#include "batch.h"
#include "checksums.h"
#include "commands.h"

namespace client {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;
using google::protobuf::util::MessageDifferencer;

Struct ParseJson(const std::string& text) {
  Struct parsed;
  const auto status = google::protobuf::util::JsonStringToMessage(text, &parsed);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  return parsed;
}

// One vector of a file. Numbers are below 2^53, bytes are hexadecimal.
class Vector {
 public:
  explicit Vector(const Struct& fields) : fields_(fields.fields()) {}

  const Value& At(const std::string& name) const {
    const auto found = fields_.find(name);
    return found == fields_.end() ? Value::default_instance() : found->second;
  }
  bool IsNull(const std::string& name) const {
    return At(name).kind_case() == Value::kNullValue || At(name).kind_case() == Value::KIND_NOT_SET;
  }
  std::int64_t Number(const std::string& name) const {
    return static_cast<std::int64_t>(At(name).number_value());
  }
  std::string Text(const std::string& name) const { return At(name).string_value(); }
  std::string Bytes(const std::string& name) const { return FromHex(Text(name)); }
  const auto& List(const std::string& name) const { return At(name).list_value().values(); }

 private:
  const google::protobuf::Map<std::string, Value>& fields_;
};

bool FitsCrc32c(const Vector& v) { return Crc32c(v.Bytes("data")) == v.Number("crc32c"); }

bool FitsRecord(const Vector& v) {
  pb::RecordSet set;
  auto& record = *set.add_records();
  if (!v.IsNull("key")) record.set_key(v.Bytes("key"));
  if (!v.IsNull("value")) record.set_value(v.Bytes("value"));
  for (const auto& pair : v.List("headers")) {
    auto& header = *record.add_headers();
    header.set_name(pair.list_value().values(0).string_value());
    const auto& value = pair.list_value().values(1);
    if (value.has_string_value()) header.set_value(FromHex(value.string_value()));
  }
  record.set_offset_delta(static_cast<std::uint32_t>(v.Number("offset_delta")));
  record.set_timestamp_delta_ms(v.Number("timestamp_delta_ms"));
  if (!v.IsNull("record_id")) record.set_record_id(v.Bytes("record_id"));
  if (!v.IsNull("expires_at_ms")) record.set_expires_at_ms(v.Number("expires_at_ms"));
  pb::RecordSet read;
  return set.SerializeAsString() == v.Bytes("in_record_set") &&
         read.ParseFromString(v.Bytes("in_record_set")) && MessageDifferencer::Equals(read, set);
}

bool FitsBatch(const Vector& v) {
  pb::RecordBatch batch;
  return batch.ParseFromString(v.Bytes("batch")) && Packed(batch) == v.Bytes("packed") &&
         Checksum(batch) == v.Number("payload_crc32c") && batch.payload() == v.Bytes("payload") &&
         PlainPayload(batch) == v.Bytes("record_set") &&
         batch.SerializeAsString() == v.Bytes("batch");
}

bool FitsRefused(const Vector& v) {
  pb::RecordBatch batch;
  return batch.ParseFromString(v.Bytes("batch")) &&
         (Checksum(batch) == batch.payload_crc32c()) == (v.Text("reason") != "CORRUPT_BATCH");
}

bool FitsFetch(const Vector& v) {
  pb::FetchResponse response;
  if (!response.ParseFromString(v.Bytes("response"))) return false;
  std::vector<StoredRecord> found;
  try {
    for (const auto& batch : response.batches()) {
      ReadBatch(batch, static_cast<std::uint64_t>(v.Number("from_offset")), found);
    }
  } catch (const WrongChecksum&) {
    return v.IsNull("records");
  }
  const auto& expected = v.List("records");
  bool fits = !v.IsNull("records") && found.size() == static_cast<std::size_t>(expected.size()) &&
              response.next_offset() == static_cast<std::uint64_t>(v.Number("next_offset"));
  for (int i = 0; fits && i < expected.size(); ++i) {
    auto shown = ParseJson(JsonOf(found[static_cast<std::size_t>(i)]));
    shown.mutable_fields()->erase("partition");  // The vectors do not repeat it.
    fits = MessageDifferencer::Equals(shown, expected[i].struct_value());
  }
  return fits;
}

bool FitsPartitions(const Vector& v, const std::string& key) {
  const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(key.data()), key.size());
  bool fits = static_cast<std::int64_t>(crc) == v.Number("crc32");
  for (const auto& pair : v.List("partitions")) {
    const auto& [count, partition] = std::pair(pair.list_value().values(0).number_value(),
                                               pair.list_value().values(1).number_value());
    fits = fits && PartitionOf(key, static_cast<std::uint32_t>(count)) == partition;
  }
  return fits;
}

bool FitsSequence(const Vector& v) {
  return NextSequence(static_cast<std::uint32_t>(v.Number("base_sequence")),
                      static_cast<std::uint32_t>(v.Number("record_count"))) ==
         v.Number("next_base_sequence");
}

bool FitsStatus(const Vector& v) {
  const Refused refused(grpc::Status(static_cast<grpc::StatusCode>(v.Number("code")),
                                     v.Text("message"), v.Bytes("status")));
  return refused.reason() == v.Text("reason") &&
         refused.retry_after().count() == v.Number("retry_after_ms");
}

const std::map<std::string, std::function<bool(const Vector&)>>& Files() {
  static const std::map<std::string, std::function<bool(const Vector&)>> files = {
      {"crc32c.json", FitsCrc32c},
      {"records.json", FitsRecord},
      {"batches.json", FitsBatch},
      {"refused.json", FitsRefused},
      {"fetches.json", FitsFetch},
      {"partitions.json", [](const Vector& v) { return FitsPartitions(v, v.Bytes("key")); }},
      {"coordinators.json", [](const Vector& v) { return FitsPartitions(v, v.Text("group")); }},
      {"sequences.json", FitsSequence},
      {"statuses.json", FitsStatus}};
  return files;
}

}  // namespace

void Vectors(const Flags& flags) {
  for (const auto& [name, fits] : Files()) {
    std::ifstream stream(std::filesystem::path(flags.Text("data")) / name);
    if (!stream) throw std::runtime_error("no " + name);
    const auto file = ParseJson({std::istreambuf_iterator(stream), {}});
    std::uint64_t checked = 0;
    for (const auto& each : file.fields().at("vectors").list_value().values()) {
      if (!fits(Vector(each.struct_value()))) {
        throw std::runtime_error(name + ": vector " + std::to_string(checked) + " does not fit");
      }
      ++checked;
    }
    Say(JsonObject().Add("file", name).Add("checked", checked).Done());
  }
}

}  // namespace client
