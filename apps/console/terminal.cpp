#include "apps/console/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <limits>

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

}  // namespace tern
