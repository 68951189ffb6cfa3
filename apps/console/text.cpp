#include "apps/console/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>

namespace tern {
namespace {

// three significant digits of 1 <= |x| < 1000, without a zero at the end: 1.2, 18.4, 182
std::string three_digits(double x) {
  const double size = std::fabs(x);
  std::string text = fmt::format("{:.{}f}", x, size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text;
}

struct Scaled {
  double value;
  int thousands;  // how often it was divided by 1000
};

// so that the value shows as fewer than four digits: 999600 is 1.00M, not 1000k
Scaled scaled(double x, int limit) {
  int thousands = 0;
  for (; std::fabs(x) >= 999.5 && thousands < limit; ++thousands) x /= 1000;
  return {x, thousands};
}

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

std::string count_text(double n) {
  if (!std::isfinite(n)) return "?";
  const Scaled s = scaled(n, 4);
  static constexpr const char* kSuffix[] = {"", "k", "M", "B", "T"};
  return three_digits(s.value) + kSuffix[s.thousands];
}

std::string bytes_text(double bytes) {
  if (!std::isfinite(bytes)) return "?";
  const Scaled s = scaled(bytes, 5);
  static constexpr const char* kSuffix[] = {" B", " kB", " MB", " GB", " TB", " PB"};
  return three_digits(s.value) + kSuffix[s.thousands];
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e12) return "?";
  if (seconds < 0.9995) return fmt::format("{:.0f}ms", seconds * 1e3);
  if (seconds < 9.95) return fmt::format("{:.1f}s", seconds);
  const auto s = std::int64_t(std::llround(seconds));
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  if (s < 86400) return fmt::format("{}h{:02}m", s / 3600, s % 3600 / 60);
  return fmt::format("{}d{:02}h", s / 86400, s % 86400 / 3600);
}

std::string share_text(double share) {
  if (!std::isfinite(share)) return "?";
  const double percent = 100 * share;
  return fmt::format("{:.{}f}%", percent, percent < 9.95 && percent != 0 ? 1 : 0);
}

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
