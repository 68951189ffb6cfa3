// Signals become flags that the training loop reads between steps: SIGTERM, SIGUSR1 and the first
// SIGINT ask to stop, SIGUSR2 asks for a checkpoint, a second SIGINT ends the process with 130.
#pragma once

#include <signal.h>

#include <array>

namespace tern {

// While one lives, SIGHUP (a lost terminal), SIGPIPE (a closed pipe) and SIGXFSZ (a file too large)
// are ignored too: they show as errors of writing. One at a time.
class Signals {
 public:
  // terminal: where the second SIGINT ends the status line; -1 for none
  explicit Signals(int terminal = -1);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  bool stop_requested() const { return stop_signal() != 0; }
  int stop_signal() const;   // the first stop signal; 0: none
  bool take_save_request();  // true once for each SIGUSR2, or several at once

  // The same for any thread, without the object: 0 while no Signals lives.
  static int stop_seen();
  static double stop_seen_at();  // when a stop was first requested, monotonic seconds

 private:
  static constexpr std::array kHandled = {SIGTERM, SIGUSR1, SIGINT, SIGUSR2,
                                          SIGHUP,  SIGPIPE, SIGXFSZ};
  std::array<struct sigaction, kHandled.size()> before_{};
};

}  // namespace tern
