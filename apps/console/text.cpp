#include "apps/console/text.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>

#include "core/hex.h"
#include "data/text/utf8.h"

namespace tern {
namespace {

// C0 and C1 controls and DEL; newline and tab are shown.
bool is_control(char32_t code) {
  return (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7F && code < 0xA0);
}

std::string hex_escape(char c) {
  const auto byte = std::byte(c);
  return "\\x" + to_hex(std::span(&byte, 1));
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
    const Character first = first_character(text);
    const std::string_view sequence = text.substr(0, first.bytes);
    if (first.code != kInvalidCharacter && !is_control(first.code))
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
