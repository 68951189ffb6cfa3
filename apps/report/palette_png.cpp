// Small pictures without a library: PNG (RFC 2083) with the stored blocks of deflate (RFC 1951).
#include <fmt/format.h>

#include <algorithm>

#include "apps/report/heat_map.h"

namespace tern {
namespace {

struct Colour {
  double red, green, blue;
};

// nine colours of Viridis (van der Walt and Smith, 2015): evenly lighter, also to colour-blind eyes
// and in print
constexpr std::array<Colour, 9> kViridis = {{{68, 1, 84},
                                             {71, 45, 123},
                                             {59, 82, 139},
                                             {44, 114, 142},
                                             {33, 145, 140},
                                             {40, 174, 128},
                                             {94, 201, 98},
                                             {173, 220, 48},
                                             {253, 231, 37}}};

std::array<std::uint8_t, 3> colour(std::size_t index) {
  const double at = double(index - 1) / 254 * double(kViridis.size() - 1);
  const std::size_t i = std::min(std::size_t(at), kViridis.size() - 2);
  const double share = at - double(i);
  const auto between = [&](double Colour::*part) {
    return std::uint8_t((1 - share) * kViridis[i].*part + share * kViridis[i + 1].*part + 0.5);
  };
  return {between(&Colour::red), between(&Colour::green), between(&Colour::blue)};
}

std::string big_endian(std::uint32_t n) {
  return {char(n >> 24), char(n >> 16), char(n >> 8), char(n)};
}

std::uint32_t crc32(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    crc ^= std::uint8_t(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
  }
  return ~crc;
}

std::uint32_t adler32(std::string_view bytes) {
  std::uint32_t a = 1, b = 0;
  for (const char c : bytes) {
    a = (a + std::uint8_t(c)) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

std::string chunk(const std::string& type, const std::string& content) {
  return big_endian(std::uint32_t(content.size())) + type + content +
         big_endian(crc32(type + content));
}

// as zlib has it, not compressed
std::string stored(std::string_view bytes) {
  constexpr std::size_t kLongestBlock = 65535;
  std::string out = "\x78\x01";
  for (std::size_t at = 0; at < bytes.size(); at += kLongestBlock) {
    const std::size_t n = std::min(kLongestBlock, bytes.size() - at);
    out += at + n == bytes.size() ? '\1' : '\0';
    for (const std::size_t length : {n, ~n}) out += {char(length), char(length >> 8)};
    out += bytes.substr(at, n);
  }
  return out + big_endian(adler32(bytes));
}

}  // namespace

std::string palette_hex() {
  std::string out;
  for (std::size_t i = 1; i < 256; ++i)
    for (const std::uint8_t part : colour(i)) out += fmt::format("{:02x}", part);
  return out;
}

std::string palette_png(std::size_t width, std::size_t height,
                        std::span<const std::uint8_t> pixels) {
  std::string colours(3, '\0');
  for (std::size_t i = 1; i < 256; ++i)
    for (const std::uint8_t part : colour(i)) colours += char(part);
  std::string rows;
  for (std::size_t y = 0; y < height; ++y) {
    rows += '\0';  // no filter
    for (const std::uint8_t p : pixels.subspan(y * width, width)) rows += char(p);
  }
  const std::string header = big_endian(std::uint32_t(width)) + big_endian(std::uint32_t(height)) +
                             "\x08\x03" + std::string(3, '\0');  // 8 bits, a palette
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + chunk("PLTE", colours) +
         chunk("tRNS", std::string(1, '\0')) + chunk("IDAT", stored(rows)) + chunk("IEND", "");
}

}  // namespace tern
