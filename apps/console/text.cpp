#include "apps/console/text.h"

#include <algorithm>
#include <cctype>
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

std::string hex_escape(char c) {
  static constexpr char kHex[] = "0123456789abcdef";
  return {'\\', 'x', kHex[std::uint8_t(c) >> 4], kHex[std::uint8_t(c) & 15]};
}

// The inside of $'...', of printable text.
std::string ansi_c_quoted(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\'' || c == '\\')
      out += {'\\', c};
    else
      out += c;
  }
  return out;
}

// Calls plain for each sequence of UTF-8 that may be shown, odd for each byte of the others.
template <class Plain, class Odd>
void walk(std::string_view text, const Plain& plain, const Odd& odd) {
  while (!text.empty()) {
    const std::size_t n = sequence_length(text);
    const std::string_view sequence = text.substr(0, n == 0 ? 1 : n);
    if (n > 0 && !is_control(sequence))
      plain(sequence);
    else
      std::for_each(sequence.begin(), sequence.end(), odd);
    text.remove_prefix(sequence.size());
  }
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  walk(
      text, [&](std::string_view s) { out += s; }, [&](char c) { out += hex_escape(c); });
  return out;
}

std::string shell_word(std::string_view text) {
  std::string in_ansi_quotes;
  bool needs_ansi = text.find_first_of("\n\t") != text.npos;
  walk(
      text, [&](std::string_view s) { in_ansi_quotes += ansi_c_quoted(s); },
      [&](char c) { in_ansi_quotes += hex_escape(c), needs_ansi = true; });
  if (needs_ansi) return "$'" + in_ansi_quotes + "'";
  const auto safe = [](char c) {
    return std::isalnum(std::uint8_t(c)) ||
           std::string_view("_@%+=:,./-").find(c) != std::string_view::npos;
  };
  if (!text.empty() && std::ranges::all_of(text, safe)) return std::string(text);
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

std::string shell_command(std::span<const std::string> arguments) {
  std::string line;
  for (const std::string& a : arguments) {
    if (!line.empty()) line += ' ';
    line += shell_word(a);
  }
  return line;
}

}  // namespace tern
