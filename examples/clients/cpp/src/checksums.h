// CRC32C (Castagnoli), by a table that the compiler makes.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace client {

inline constexpr auto kCastagnoli = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0);
    table[i] = crc;
  }
  return table;
}();

// Of these bytes behind others whose checksum is `crc`.
constexpr std::uint32_t Crc32c(std::string_view bytes, std::uint32_t crc = 0) {
  crc = ~crc;
  for (const char c : bytes) {
    crc = (crc >> 8) ^ kCastagnoli[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  }
  return ~crc;
}

static_assert(Crc32c("123456789") == 0xe3069283);

}  // namespace client
