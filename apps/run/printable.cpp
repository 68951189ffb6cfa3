#include "apps/run/printable.h"

#include <cstdint>

namespace tern {
namespace {

// length of the UTF-8 sequence at the start of text (RFC 3629: shortest form, no surrogates,
// at most U+10FFFF); 0 if there is none
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? std::uint8_t(text[i]) : 0u; };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned a = byte(0), b = byte(1);
  if (a < 0x80) return 1;
  if (a >= 0xC2 && a <= 0xDF) return follows(1) ? 2 : 0;
  if (a >= 0xE0 && a <= 0xEF) {
    const bool bad = (a == 0xE0 && b < 0xA0) || (a == 0xED && b > 0x9F);
    return !bad && follows(1) && follows(2) ? 3 : 0;
  }
  if (a >= 0xF0 && a <= 0xF4) {
    const bool bad = (a == 0xF0 && b < 0x90) || (a == 0xF4 && b > 0x8F);
    return !bad && follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// C0 and C1 controls and DEL; C1 is U+0080..U+009F, two bytes C2 80..C2 9F
bool is_control(std::string_view sequence) {
  const auto a = std::uint8_t(sequence[0]);
  if (sequence.size() == 1) return (a < 0x20 && a != '\n' && a != '\t') || a == 0x7F;
  return a == 0xC2 && std::uint8_t(sequence[1]) < 0xA0;
}

}  // namespace

std::string printable(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  while (!text.empty()) {
    const std::size_t n = sequence_length(text);
    const std::string_view sequence = text.substr(0, n == 0 ? 1 : n);
    if (n > 0 && !is_control(sequence)) {
      out += sequence;
    } else {
      for (const char c : sequence)
        out += {'\\', 'x', kHex[std::uint8_t(c) >> 4], kHex[std::uint8_t(c) & 15]};
    }
    text.remove_prefix(sequence.size());
  }
  return out;
}

}  // namespace tern
