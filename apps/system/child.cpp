#include "apps/system/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "core/check.h"
#include "core/clock.h"
#include "data/io/files.h"

namespace tern {
namespace {

void connect(posix_spawn_file_actions_t& actions, int from, int to) {
  if (from >= 0)
    posix_spawn_file_actions_adddup2(&actions, from, to);
  else
    posix_spawn_file_actions_addopen(&actions, to, "/dev/null", O_RDWR, 0);
}

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const std::string& t : texts) out.push_back(const_cast<char*>(t.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace

Child::Child(const std::vector<std::string>& args, Streams streams, const ChildSettings& settings) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  connect(actions, streams.in, 0), connect(actions, streams.out, 1);
  connect(actions, streams.error, 2);
  if (settings.handed_on >= 0)  // onto itself: it stays open
    posix_spawn_file_actions_adddup2(&actions, settings.handed_on, settings.handed_on);
  // Its own group, so that ^C on the terminal is ours alone; nothing of our signal handling.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t every;
  sigfillset(&every);
  posix_spawnattr_setsigdefault(&attributes, &every);
  sigemptyset(&every);
  posix_spawnattr_setsigmask(&attributes, &every);
  std::vector<std::string> variables;
  if (settings.environment)
    for (const auto& [name, value] : *settings.environment) variables.push_back(name + "=" + value);
  const int error = posix_spawnp(
      &id_, (settings.program.empty() ? args[0] : settings.program).c_str(), &actions, &attributes,
      pointers_to(args).data(), settings.environment ? pointers_to(variables).data() : environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  require(error == 0, Fault::usage, args[0], ": cannot be started: ", system_message(error));
}

Child::~Child() {
  if (ended()) return;
  kill(-id_, SIGKILL);
  wait(60);
}

bool Child::ended() {
  int status = 0;
  if (!ended_ && waitpid(id_, &status, WNOHANG) != 0) {  // an error means that it is gone too
    ended_ = true;
    signal_ = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    exit_code_ = signal_ ? 128 + signal_ : WEXITSTATUS(status);
  }
  return ended_;
}

void Child::send(int signal) const {
  if (!ended_) kill(id_, signal);
}

void Child::send_to_group(int signal) const {
  if (!ended_) kill(-id_, signal);
}

bool Child::wait(double seconds) {
  for (const double end = monotonic_seconds() + seconds; !ended();) {
    if (monotonic_seconds() >= end) return false;
    poll(nullptr, 0, 5);
  }
  return true;
}

bool has_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');)
    if (access((folder + '/' + name).c_str(), X_OK) == 0) return true;
  return false;
}

}  // namespace tern
