#include "tests/support/process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <utility>

namespace tern {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  int read, write;
};

Pipe make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  return {ends[0], ends[1]};
}

void close_once(int& fd) {
  if (fd >= 0) close(std::exchange(fd, -1));
}

// appends what is there; closes at the end of file (a terminal says EIO when its last user left)
void drain(int& fd, std::string& to) {
  char buffer[65536];
  while (fd >= 0) {
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n > 0) to.append(buffer, std::size_t(n));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) close_once(fd);
  }
}

}  // namespace

Process::Process(Command command) : command_(std::move(command)) {
  Pipe input{-1, -1}, output{-1, -1}, error{-1, -1};
  if (command_.columns > 0) {
    const winsize size{
        .ws_row = 40, .ws_col = (unsigned short)command_.columns, .ws_xpixel = 0, .ws_ypixel = 0};
    if (openpty(&out_, &output.write, nullptr, nullptr, &size) != 0)
      throw std::runtime_error("openpty failed");
    fcntl(out_, F_SETFD, FD_CLOEXEC);
    input.read = error.write = output.write;
  } else {
    input = make_pipe(), output = make_pipe(), error = make_pipe();
    in_ = input.write, out_ = output.read, err_ = error.read;
    if (command_.broken_output) close_once(out_);
  }
  std::fflush(nullptr);  // or the child's exit would write our buffers again
  id_ = fork();
  if (id_ < 0) throw std::runtime_error("fork failed");
  if (id_ == 0) become(input.read, output.write, error.write);
  close(output.write);
  if (command_.columns == 0) close(input.read), close(error.write);
  for (const int fd : {in_, out_, err_})
    if (fd >= 0) fcntl(fd, F_SETFL, O_NONBLOCK);
  if (command_.input.empty()) close_once(in_);
}

// In the child, until exec.
void Process::become(int input, int output, int error) {
  setsid();
  if (command_.columns > 0) ioctl(output, TIOCSCTTY, 0);
  dup2(input, 0), dup2(output, 1), dup2(error, 2);
  for (int fd : {in_, out_, err_})
    if (fd > 2) close(fd);
  if (command_.closed_input) close(0);
  for (const auto& [name, value] : command_.env) setenv(name.c_str(), value.c_str(), 1);
  for (const auto& [what, bound] : command_.limits) {
    const rlimit limit{bound, bound};
    if (setrlimit(what, &limit) != 0) _exit(126);
  }
  if (!command_.directory.empty() && chdir(command_.directory.c_str()) != 0) _exit(126);
  if (command_.unprivileged && geteuid() == 0 &&
      (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0))
    _exit(126);
  if (command_.body) {
    int code = 125;  // what an escaped exception looks like
    try {
      code = command_.body();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
    }
    std::fflush(nullptr);
    _exit(code);
  }
  std::vector<char*> args;
  for (std::string& a : command_.args) args.push_back(a.data());
  args.push_back(nullptr);
  execvp(args[0], args.data());
  std::perror(args[0]);
  _exit(127);
}

Process::~Process() {
  if (!ended_) {
    kill_all();
    waitpid(id_, nullptr, 0);
  }
  close_once(in_), close_once(out_), close_once(err_);
}

// with what it has started itself; its group exists once it has got as far as setsid
void Process::kill_all() const {
  kill(-id_, SIGKILL);
  kill(id_, SIGKILL);
}

void Process::send(int signal) const {
  if (!ended_) kill(id_, signal);
}

void Process::pump(std::chrono::milliseconds patience) {
  pollfd fds[] = {{in_, POLLOUT, 0}, {out_, POLLIN, 0}, {err_, POLLIN, 0}};
  poll(fds, 3, int(std::min<long>(patience.count(), 10)));
  int status = 0;
  if (waitpid(id_, &status, WNOHANG) == id_) {
    ended_ = true;
    if (WIFEXITED(status)) outcome_.exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) outcome_.signal = WTERMSIG(status);
  }
  if (in_ >= 0 && fds[0].revents != 0) {
    // A child that reads no further must not kill us: MSG_NOSIGNAL has no twin for pipes.
    const auto old = signal(SIGPIPE, SIG_IGN);
    const ssize_t n = write(in_, command_.input.data() + sent_, command_.input.size() - sent_);
    signal(SIGPIPE, old);
    if (n > 0) sent_ += std::size_t(n);
    if ((n < 0 && errno != EAGAIN && errno != EINTR) || sent_ == command_.input.size())
      close_once(in_);
  }
  drain(out_, outcome_.out);
  drain(err_, outcome_.err);
}

bool Process::wait_until(const std::function<bool()>& found, std::chrono::milliseconds limit) {
  const auto end = Clock::now() + limit;
  while (!found() && !ended_ && Clock::now() < end) pump(std::chrono::milliseconds(10));
  return found();
}

bool Process::wait_for(std::string_view text, std::chrono::milliseconds limit) {
  return wait_until(
      [&] {
        return outcome_.out.find(text) != std::string::npos ||
               outcome_.err.find(text) != std::string::npos;
      },
      limit);
}

bool Process::wait_for_prompt(std::string_view text, std::chrono::milliseconds limit) {
  return wait_until([&] { return outcome_.out.ends_with(text); }, limit);
}

void Process::type(std::string_view keys) const {
  if (command_.columns == 0) throw std::runtime_error("expected a process at a terminal");
  if (write(out_, keys.data(), keys.size()) != ssize_t(keys.size()))
    throw std::runtime_error("typing failed");
}

Outcome Process::wait(std::chrono::milliseconds limit) {
  const auto end = Clock::now() + limit;
  while (!ended_ && Clock::now() < end) pump(std::chrono::milliseconds(10));
  if (!ended_) {
    outcome_.timed_out = true;
    kill_all();
    while (!ended_) pump(std::chrono::milliseconds(10));
  }
  return outcome_;
}

Outcome run(const Command& command, std::chrono::milliseconds limit) {
  return Process(command).wait(limit);
}

std::string sibling_program(std::string_view name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

std::string folder_closed_to_others() {
  namespace fs = std::filesystem;
  if (geteuid() != 0) return {};
  for (const fs::path& below : {fs::path(sibling_program("")), fs::current_path()})
    for (fs::path folder = below; folder.has_relative_path(); folder = folder.parent_path())
      if ((fs::status(folder).permissions() & fs::perms::others_exec) == fs::perms::none)
        return folder.string();
  return {};
}

}  // namespace tern
