// What is written, and how it is shown.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol.h"

namespace client {

inline constexpr std::int64_t kFirstMs = 1'700'000'000'000;

// A record as a consumer sees it.
struct StoredRecord {
  std::uint32_t partition;
  std::uint64_t offset;
  std::int64_t timestamp_ms;
  pb::Record record;
};

// Record number n of a program; its time counts from kFirstMs.
pb::Record SampleRecord(const std::string& name, std::int64_t n);

std::string ToHex(std::string_view bytes);
// Throws std::invalid_argument.
std::string FromHex(std::string_view text);

// Prints a line, or lines, for whoever started the program.
void Say(const std::string& line);
void Say(const std::vector<StoredRecord>& records);

// Makes a JSON object, member by member.
class JsonObject {
 public:
  JsonObject& Add(std::string_view name, std::string_view text);
  JsonObject& Add(std::string_view name, const char* text) {
    return Add(name, std::string_view(text));
  }
  JsonObject& Add(std::string_view name, std::uint64_t number);
  JsonObject& Add(std::string_view name, double number);
  // The value is JSON already.
  JsonObject& AddJson(std::string_view name, std::string_view json);
  std::string Done() const { return text_ + "}"; }

 private:
  std::string text_ = "{";
};

std::string JsonOf(const StoredRecord& stored);
std::string JsonOf(const std::vector<std::uint32_t>& numbers);

}  // namespace client
