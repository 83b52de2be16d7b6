#include "records.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <stdexcept>

namespace client {
namespace {

constexpr std::size_t kValueBytes = 100;

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", c);
      quoted += escape.data();
    } else {
      quoted += c;
    }
  }
  return quoted += '"';
}

std::string HexOrNull(bool present, std::string_view bytes) {
  return present ? '"' + ToHex(bytes) + '"' : "null";
}

void Print(const std::string& lines) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  std::cout << lines << std::flush;
}

}  // namespace

pb::Record SampleRecord(const std::string& name, std::int64_t n) {
  pb::Record record;
  record.set_timestamp_delta_ms(n);
  if (n % 10 != 9) record.set_key("key-" + std::to_string(n % 100));
  if (n % 100 == 18) {
    record.set_value("");
  } else if (n % 100 != 17) {
    std::string value = name + ":" + std::to_string(n) + ":";
    if (value.size() < kValueBytes) value.resize(kValueBytes, 'x');
    record.set_value(std::move(value));
  }
  if (n % 10 == 3) {
    auto& writer = *record.add_headers();
    writer.set_name("writer");
    writer.set_value(name);
    record.add_headers()->set_name("none");
  }
  return record;
}

std::string ToHex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string FromHex(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    unsigned char byte = 0;
    const char* end = text.data() + i + 2;
    if (std::from_chars(end - 2, end, byte, 16).ptr != end) {
      throw std::invalid_argument("not hexadecimal");
    }
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

void Say(const std::string& line) { Print(line + '\n'); }

void Say(const std::vector<StoredRecord>& records) {
  std::string lines;
  for (const auto& each : records) lines += JsonOf(each) + '\n';
  Print(lines);
}

JsonObject& JsonObject::AddJson(std::string_view name, std::string_view json) {
  if (text_.size() > 1) text_ += ", ";
  text_ += Quoted(name) += ": ";
  text_ += json;
  return *this;
}

JsonObject& JsonObject::Add(std::string_view name, std::string_view text) {
  return AddJson(name, Quoted(text));
}

JsonObject& JsonObject::Add(std::string_view name, std::uint64_t number) {
  return AddJson(name, std::to_string(number));
}

JsonObject& JsonObject::Add(std::string_view name, double number) {
  return AddJson(name, std::to_string(number));
}

std::string JsonOf(const StoredRecord& stored) {
  const auto& record = stored.record;
  std::string headers = "[";
  for (const auto& each : record.headers()) {
    if (headers.size() > 1) headers += ", ";
    headers += '[' + Quoted(each.name()) + ", " + HexOrNull(each.has_value(), each.value()) + ']';
  }
  return JsonObject()
      .Add("partition", std::uint64_t{stored.partition})
      .Add("offset", stored.offset)
      .AddJson("timestamp_ms", std::to_string(stored.timestamp_ms))
      .AddJson("key", HexOrNull(record.has_key(), record.key()))
      .AddJson("value", HexOrNull(record.has_value(), record.value()))
      .AddJson("headers", headers + "]")
      .Done();
}

std::string JsonOf(const std::vector<std::uint32_t>& numbers) {
  std::string list = "[";
  for (const auto each : numbers) {
    if (list.size() > 1) list += ", ";
    list += std::to_string(each);
  }
  return list + "]";
}

}  // namespace client
