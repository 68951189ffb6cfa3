#include "data/text/utf8.h"

#include <algorithm>

namespace tern {
namespace {

constexpr Character kInvalid{kInvalidCharacter, 1};

// bytes of the character that a first byte announces; 0 for a byte that starts none
std::uint32_t announced_bytes(std::uint8_t first) {
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

bool continues(char byte) {
  return (std::uint8_t(byte) & 0xc0) == 0x80;
}

// Python's str.isspace
bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
         c == 0x205f || c == 0x3000;
}

}  // namespace

Character first_character(std::string_view text) {
  const auto first = std::uint8_t(text[0]);
  if (first < 0x80) return {first, 1};
  const std::uint32_t n = announced_bytes(first);
  if (n == 0 || text.size() < n) return kInvalid;
  char32_t code = first & (0x7fu >> n);
  for (std::uint32_t i = 1; i < n; ++i) {
    if (!continues(text[i])) return kInvalid;
    code = code << 6 | (std::uint8_t(text[i]) & 0x3fu);
  }
  constexpr char32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  if (code < smallest[n] || surrogate || code > 0x10ffff) return kInvalid;
  return {code, n};
}

std::size_t incomplete_suffix(std::string_view text) {
  for (std::size_t n = 1; n <= std::min<std::size_t>(3, text.size()); ++n) {
    const char byte = text[text.size() - n];
    if (!continues(byte)) return announced_bytes(std::uint8_t(byte)) > n ? n : 0;
  }
  return 0;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const auto [code, bytes] = first_character(text);
    if (code == kInvalidCharacter) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

std::size_t count_characters(std::string_view text) {
  std::size_t count = 0;
  for (; !text.empty(); ++count) text.remove_prefix(first_character(text).bytes);
  return count;
}

std::size_t trailing_white_space(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    std::size_t begin = end - 1;
    while (begin > 0 && end - begin < 4 && continues(text[begin])) --begin;
    const Character last = first_character(text.substr(begin, end - begin));
    if (begin + last.bytes != end || !is_white_space(last.code)) break;
    end = begin;
  }
  return text.size() - end;
}

}  // namespace tern
