#include "apps/run/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <set>

#include "apps/system/child.h"
#include "core/check.h"
#include "core/clock.h"
#include "distributed/connection.h"
#include "distributed/rank_info.h"
#include "runtime/machine_limits.h"

namespace tern {
namespace {

constexpr double kSettling = 2;  // seconds in which the others can end by themselves
constexpr int kRound = 200;      // ms

// Lines that a rank writes to its stderr.
struct Errors {
  Descriptor from{};
  std::string begun{};
};

class Launcher {
 public:
  explicit Launcher(const Launch& launch);
  ~Launcher() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  void run();

 private:
  void start(int rank, const Listener& listener);
  void pass_on_signals();
  void show_errors(int rank);
  void show(int rank, const std::string& line);
  void reap();
  void end_survivors();
  bool running() const;
  void conclude() const;
  std::string summary(int rank) const;

  Launch launch_;
  sigset_t before_{};
  Descriptor signals_{};
  std::vector<std::unique_ptr<Child>> children_{};
  std::vector<Errors> errors_{};
  std::vector<bool> ended_{}, forced_{};  // forced: by the launcher
  std::vector<int> order_{};              // ranks that failed by themselves, in order of time
  std::set<std::string> shown_{};
  double failed_at_ = -1;
  int stop_ = 0;  // the signal that was passed on
};

Launcher::Launcher(const Launch& launch) : launch_(launch) {
  sigset_t mine;
  sigemptyset(&mine);
  for (const int s : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD}) sigaddset(&mine, s);
  pthread_sigmask(SIG_BLOCK, &mine, &before_);
  signal(SIGHUP, SIG_IGN), signal(SIGPIPE, SIG_IGN);  // as a run without a launcher does
  signals_ = Descriptor(signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK));
  // Open before the ranks start, so that no other process can take the port.
  const Listener listener("127.0.0.1", 0);
  ended_.resize(std::size_t(launch.ranks)), forced_.resize(std::size_t(launch.ranks));
  for (int r = 0; r < launch.ranks; ++r) start(r, listener);
}

void Launcher::start(int rank, const Listener& listener) {
  int ends[2];
  check(pipe2(ends, O_CLOEXEC) == 0, "[launcher] expected a pipe");
  Descriptor ours(ends[0]);
  const Descriptor theirs(ends[1]);
  fcntl(ours.number(), F_SETFL, O_NONBLOCK);
  Variables variables = environment_variables();
  std::erase_if(variables, [](const auto& v) { return is_rank_variable(v.first); });
  const auto number = [](int n) { return std::to_string(n); };
  variables.emplace("OMP_NUM_THREADS", number(std::max(1, usable_cores() / launch_.ranks)));
  variables["RANK"] = variables["LOCAL_RANK"] = number(rank);
  variables["WORLD_SIZE"] = variables["LOCAL_WORLD_SIZE"] = number(launch_.ranks);
  variables["MASTER_ADDR"] = "127.0.0.1";
  variables["MASTER_PORT"] = number(listener.port());
  variables["TERN_LAUNCHER"] = number(getpid());
  variables["TERN_JOB"] = number(getpid()) + "-" + number(listener.port());
  if (rank == 0) variables["TERN_LISTENER"] = number(listener.number());
  children_.push_back(std::make_unique<Child>(
      launch_.command,
      Streams{.in = -1, .out = rank == 0 ? STDOUT_FILENO : -1, .error = theirs.number()},
      ChildSettings{.program = std::filesystem::read_symlink("/proc/self/exe"),
                    .environment = variables,
                    .handed_on = rank == 0 ? listener.number() : -1}));
  errors_.push_back({std::move(ours), {}});
}

void Launcher::run() {
  while (running()) {
    std::vector<int> all = {signals_.number()};
    for (const Errors& e : errors_)
      if (e.from.number() >= 0) all.push_back(e.from.number());
    wait_readable(all, kRound);
    pass_on_signals();
    reap();
    end_survivors();
    for (int r = 0; r < launch_.ranks; ++r) show_errors(r);
  }
  for (int r = 0; r < launch_.ranks; ++r) {
    show_errors(r);
    if (!errors_[std::size_t(r)].begun.empty()) show(r, errors_[std::size_t(r)].begun);
  }
  conclude();
}

void Launcher::pass_on_signals() {
  signalfd_siginfo info;
  while (read(signals_.number(), &info, sizeof info) == ssize_t(sizeof info)) {
    const int signal = int(info.ssi_signo);
    if (signal == SIGCHLD) continue;
    if (signal != SIGUSR2) stop_ = signal;
    for (const auto& child : children_) child->send(signal);
  }
}

void Launcher::show_errors(int rank) {
  Errors& e = errors_[std::size_t(rank)];
  char buffer[4096];
  while (e.from.number() >= 0) {
    const ssize_t n = read(e.from.number(), buffer, sizeof buffer);
    if (n < 0) return;
    if (n == 0) e.from = Descriptor();
    e.begun.append(buffer, std::size_t(n));
    for (std::size_t end; (end = e.begun.find('\n')) != std::string::npos;) {
      show(rank, e.begun.substr(0, end));
      e.begun.erase(0, end + 1);
    }
  }
}

void Launcher::show(int rank, const std::string& line) {
  if (!shown_.insert(line).second) return;
  const std::string text = (rank == 0 ? "" : "rank " + std::to_string(rank) + ": ") + line + "\n";
  [[maybe_unused]] const auto n = write(STDERR_FILENO, text.data(), text.size());
}

void Launcher::reap() {
  for (int r = 0; r < launch_.ranks; ++r) {
    const auto i = std::size_t(r);
    if (ended_[i] || !children_[i]->ended()) continue;
    ended_[i] = true;
    const int code = children_[i]->exit_code();
    if (code == 0 || code == int(Fault::stopped) || forced_[i]) continue;
    order_.push_back(r);
    if (failed_at_ < 0) failed_at_ = monotonic_seconds();
  }
}

// Ranks that wait for the failed one end by themselves. The others get SIGTERM, then SIGKILL.
void Launcher::end_survivors() {
  if (failed_at_ < 0) return;
  const double passed = monotonic_seconds() - failed_at_;
  for (std::size_t i = 0; i < children_.size(); ++i) {
    if (ended_[i] || passed < kSettling) continue;
    if (!forced_[i]) children_[i]->send(SIGTERM);
    forced_[i] = true;
    if (passed > kSettling + launch_.grace) children_[i]->send_to_group(SIGKILL);
  }
}

bool Launcher::running() const {
  return std::find(ended_.begin(), ended_.end(), false) != ended_.end();
}

std::string Launcher::summary(int rank) const {
  const Child& child = *children_[std::size_t(rank)];
  std::string text = "rank " + std::to_string(rank) + " of " + std::to_string(launch_.ranks);
  text += child.signal() ? " was killed by signal " + std::to_string(child.signal())
                         : " ended with code " + std::to_string(child.exit_code());
  for (std::size_t i = 0; i < forced_.size(); ++i)
    if (forced_[i])
      text += "; rank " + std::to_string(i) + " did not end by itself and was " +
              (children_[i]->signal() == SIGKILL ? "killed" : "stopped");
  return text;
}

void Launcher::conclude() const {
  const auto code = [&](int r) { return children_[std::size_t(r)]->exit_code(); };
  const auto first = [&](const auto& which) {
    const auto found = std::find_if(order_.begin(), order_.end(), which);
    return found == order_.end() ? -1 : *found;
  };
  const int asked = first([&](int r) { return stop_ != 0 && code(r) == 128 + stop_; });
  if (asked >= 0) throw Error(Fault(128 + stop_), "");  // stopped before the first step
  const int killed = first([&](int r) { return children_[std::size_t(r)]->signal() != 0; });
  if (killed >= 0) fail(Fault::communication, summary(killed));
  const int cause = first([&](int r) { return code(r) != int(Fault::communication); });
  if (!order_.empty()) {
    const int r = cause >= 0 ? cause : order_[0];
    const bool alike = order_.size() == children_.size() &&
                       std::all_of(order_.begin(), order_.end(),
                                   [&](int other) { return code(other) == code(r); });
    // alike: the ranks have printed the cause
    throw Error(Fault(code(r)), alike ? "" : summary(r));
  }
  for (int r = 0; r < launch_.ranks; ++r)
    if (code(r) == int(Fault::stopped)) throw Error(Fault::stopped, "");
}

}  // namespace

void launch_ranks(const Launch& launch) {
  const RankInfo info = find_rank_info(environment_variables());
  require(info.size == 1, Fault::usage, "--ranks starts the processes itself, but ", info.launcher,
          " has started this one as rank ", info.rank, " of ", info.size, ": leave --ranks out");
  Launcher(launch).run();
}

void end_with_parent() {
  const Variables variables = environment_variables();
  for (const auto& [name, signal] :
       {std::pair("TERN_LAUNCHER", SIGKILL), {"TERN_SWEEP", SIGTERM}}) {
    const auto parent = variables.find(name);
    if (parent == variables.end()) continue;
    prctl(PR_SET_PDEATHSIG, signal);
    if (std::to_string(getppid()) != parent->second) _exit(int(Fault::communication));
    return;
  }
}

}  // namespace tern
