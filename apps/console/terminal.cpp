#include "apps/console/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <limits>

#include "core/hex.h"
#include "data/text/utf8.h"

namespace tern {
namespace {

constexpr std::string_view kEraseLine = "\r\x1b[K";

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

const char* code(Style style) {
  switch (style) {
    case Style::bold:
      return "\x1b[1m";
    case Style::dim:
      return "\x1b[2m";
    case Style::good:
      return "\x1b[32m";
    case Style::warning:
      return "\x1b[33m";
    default:
      return "";
  }
}

}  // namespace

Terminal::Terminal(int descriptor)
    : descriptor_(descriptor),
      live_(isatty(descriptor) == 1 && environment("TERM") != "dumb"),
      coloured_(live_ && environment("NO_COLOR").empty()) {}

Terminal::~Terminal() {
  clear_status();
}

int Terminal::columns() const {
  winsize size{};
  if (!live_) return std::numeric_limits<int>::max();
  if (ioctl(descriptor_, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string Terminal::styled(Style style, std::string_view text) const {
  if (!coloured_ || style == Style::plain || text.empty()) return std::string(text);
  return code(style) + std::string(text) + "\x1b[0m";
}

void Terminal::print(std::string_view lines) {
  std::string text(status_.empty() ? "" : kEraseLine);
  text += lines;
  if (lines.empty() || lines.back() != '\n') text += '\n';
  send(text + status_);
}

void Terminal::status(std::string_view line) {
  if (!live_ || (line.empty() && status_.empty())) return;
  status_ = line;
  send(std::string(kEraseLine) + status_);
}

void Terminal::send(std::string_view bytes) {
  constexpr int kPatience = 1000;  // milliseconds for a reader that does not read
  while (!bytes.empty() && !broken_) {
    const ssize_t n = write(descriptor_, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(std::size_t(n));
    } else if (errno == EAGAIN) {
      pollfd out{descriptor_, POLLOUT, 0};
      if (poll(&out, 1, kPatience) == 0) return;
    } else if (errno != EINTR) {
      broken_ = true;
    }
  }
}

void occupy_standard_streams() {
  int descriptor;
  do descriptor = open("/dev/null", O_RDWR);
  while (descriptor >= 0 && descriptor <= STDERR_FILENO);
  if (descriptor >= 0) close(descriptor);
}

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
