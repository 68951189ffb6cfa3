#include "apps/run/signals.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "core/check.h"
#include "core/clock.h"

namespace tern {
namespace {

// A signal handler reaches only static objects; only Signals touches these.
std::atomic<bool> installed{false};
std::atomic<int> stop_signal_seen{0}, interrupts{0}, terminal_descriptor{-1};
std::atomic<bool> save_requested{false};
std::atomic<double> stop_noticed{-1};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void end_now() {
  constexpr char kPlainAndNewLine[] = "\x1b[0m\n";
  const int terminal = terminal_descriptor;
  if (terminal >= 0 && isatty(terminal)) {
    [[maybe_unused]] const auto n = write(terminal, kPlainAndNewLine, sizeof kPlainAndNewLine - 1);
  }
  _exit(128 + SIGINT);
}

void handle(int signal) {
  const int error = errno;
  if (signal == SIGUSR2) {
    save_requested = true;
  } else {
    if (signal == SIGINT && interrupts++ > 0) end_now();
    int none = 0;
    stop_signal_seen.compare_exchange_strong(none, signal);
  }
  errno = error;
}

}  // namespace

Signals::Signals(int terminal) {
  check(!installed.exchange(true), "[signals] expected one Signals at a time, got a second");
  stop_signal_seen = 0, interrupts = 0, save_requested = false, terminal_descriptor = terminal;
  stop_noticed = -1;
  for (std::size_t i = 0; i < kHandled.size(); ++i) {
    const int signal = kHandled[i];
    const bool ignored = signal == SIGHUP || signal == SIGPIPE || signal == SIGXFSZ;
    struct sigaction action {};
    action.sa_handler = ignored ? SIG_IGN : handle;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, &before_[i]);
  }
}

Signals::~Signals() {
  for (std::size_t i = 0; i < kHandled.size(); ++i) sigaction(kHandled[i], &before_[i], nullptr);
  installed = false;
}

int Signals::stop_signal() const {
  return stop_signal_seen;
}

int Signals::stop_seen() {
  return installed ? int(stop_signal_seen) : 0;
}

double Signals::stop_seen_at() {
  double never = -1;
  if (stop_seen() != 0) stop_noticed.compare_exchange_strong(never, monotonic_seconds());
  return stop_noticed;
}

bool Signals::take_save_request() {
  return save_requested.exchange(false);
}

}  // namespace tern
