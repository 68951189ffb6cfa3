#include "apps/run/interactive.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <optional>

#include "data/io/files.h"

namespace tern {
namespace {

// A signal handler reaches only static objects.
std::atomic<int> interrupts{0};

void count_interrupt(int) {
  constexpr int kMost = 2;  // the second asks to end; a third finds a process that does not answer
  if (++interrupts > kMost) _exit(128 + SIGINT);
}

// While it lives, SIGINT counts.
class Interrupts {
 public:
  Interrupts() {
    interrupts = 0;
    struct sigaction action {};
    action.sa_handler = count_interrupt;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &before_);
  }
  ~Interrupts() { sigaction(SIGINT, &before_, nullptr); }
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

 private:
  struct sigaction before_ {};
};

// Waits for input. False if SIGINT came, also just before.
bool wait_for_input() {
  sigset_t interrupt, before;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  pthread_sigmask(SIG_BLOCK, &interrupt, &before);
  pollfd in{STDIN_FILENO, POLLIN, 0};
  int ready = 0;
  while (interrupts == 0 && ready <= 0) {
    ready = ppoll(&in, 1, nullptr, &before);
    if (ready < 0 && errno != EINTR) break;  // read() says why
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return interrupts == 0;
}

class Lines {
 public:
  // The next line without its newline; nullopt at the end of input, or after SIGINT.
  std::optional<std::string> next() {
    for (std::size_t end; (end = buffer_.find('\n')) == buffer_.npos;) {
      if (!wait_for_input()) return std::nullopt;
      char bytes[4096];
      const ssize_t n = ::read(STDIN_FILENO, bytes, sizeof bytes);
      if (n < 0 && errno == EINTR) continue;
      require(n >= 0, Fault::input, "standard input: cannot read: ", system_message(errno));
      if (n == 0) return rest();
      buffer_.append(bytes, std::size_t(n));
    }
    const std::size_t end = buffer_.find('\n');
    std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    return line;
  }

 private:
  std::optional<std::string> rest() {
    if (buffer_.empty()) return std::nullopt;
    return std::exchange(buffer_, {});
  }
  std::string buffer_{};
};

// Lines up to one that does not end in a backslash.
std::optional<std::string> next_turn(Lines& lines, const std::function<void(const char*)>& invite) {
  std::string turn;
  for (const char* mark = "> ";; mark = ". ") {
    invite(mark);
    std::optional<std::string> line = lines.next();
    if (!line) return std::nullopt;
    const bool goes_on = line->ends_with('\\');
    if (goes_on) line->back() = '\n';
    turn += *line;
    if (!goes_on) return turn;
  }
}

}  // namespace

void write_in_turns(TextGenerator& text, TextGenerator::Limits limits, const ShowText& show) {
  const bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
  const auto invite = [&](const char* mark) {
    if (terminal) show(mark);
  };
  limits.interrupted = [] { return interrupts > 0; };
  const Interrupts counted;
  Lines lines;
  while (interrupts < 2) {
    interrupts = 0;
    const std::optional<std::string> turn = next_turn(lines, invite);
    if (!turn) break;
    text.read(*turn);
    text.write(limits, show);
    show(text.take_held() + '\n');
  }
  if (terminal) show("\n");
}

}  // namespace tern
