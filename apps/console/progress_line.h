// Progress of a command on standard error: a status line on a terminal, else a line every two
// seconds.
#pragma once

#include <csignal>
#include <functional>

#include "apps/console/terminal.h"
#include "core/clock.h"

namespace tern {

class ProgressLine {
 public:
  // A reader of standard error that is gone does not end the command (Terminal).
  ProgressLine() { std::signal(SIGPIPE, SIG_IGN); }
  // text(seconds since the first call); called only where a line is shown: ten times a second on a
  // terminal, else every `between` seconds
  void show(const std::function<std::string(double seconds)>& text, double between = 2) {
    constexpr double kSecondsBetweenUpdates = 0.1;
    const double now = monotonic_seconds();
    if (begin_ < 0) begin_ = shown_ = now;
    const bool live = terminal_.live();
    if (now - shown_ < (live ? kSecondsBetweenUpdates : between)) return;
    shown_ = now;
    if (live)
      terminal_.status(text(now - begin_));
    else
      terminal_.print(text(now - begin_));
  }
  void clear() { terminal_.clear_status(); }

 private:
  Terminal terminal_{2};
  double begin_ = -1, shown_ = -1;
};

}  // namespace tern
