// Child processes for the tests: a command or a function, with environment, limits, fewer
// privileges or a terminal; its output as strings. Nothing here waits without a time limit.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tern {

struct Command {
  std::vector<std::string> args{};  // args[0] is a path, or a name found through PATH
  std::function<int()> body{};  // instead of args: runs in a forked child, returns the exit code
  std::map<std::string, std::string> env{};  // added to the parent's environment
  std::string directory{};                   // working directory; empty: the parent's
  std::string input{};                       // what stdin holds; then end of file
  std::map<int, rlim_t> limits{};            // {RLIMIT_FSIZE, bytes}: soft and hard
  bool unprivileged = false;   // as uid and gid 65534, if the parent is root; ignored otherwise
  bool closed_input = false;   // stdin is a closed descriptor
  bool broken_output = false;  // stdout is a pipe whose reader is gone: writes give EPIPE
  int columns = 0;  // > 0: stdin, stdout and stderr are a terminal this wide, all in Outcome::out
};

struct Outcome {
  int exit_code = -1;  // -1 if a signal ended it
  int signal = 0;      // that signal; 0 if it exited
  bool timed_out = false;
  std::string out{}, err{};
};

class Process {
 public:
  explicit Process(Command command);
  ~Process();  // kills and reaps what still runs
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t id() const { return id_; }
  void send(int signal) const;
  // Reads on until stdout or stderr holds the text; false if it ended or time ran out before.
  bool wait_for(std::string_view text, std::chrono::milliseconds limit = std::chrono::seconds(60));
  // Reads on until stdout ends with the text, as a prompt does; false as above.
  bool wait_for_prompt(std::string_view text,
                       std::chrono::milliseconds limit = std::chrono::seconds(60));
  void type(std::string_view keys) const;  // at its terminal: "\x03" is Ctrl-C, "\x04" is Ctrl-D
  // Waits for its end; past the limit it is killed and timed_out is set.
  Outcome wait(std::chrono::milliseconds limit = std::chrono::seconds(60));

 private:
  bool wait_until(const std::function<bool()>& found, std::chrono::milliseconds limit);
  void pump(std::chrono::milliseconds patience);  // moves what the pipes offer; notices the end
  void kill_all() const;
  [[noreturn]] void become(int input, int output, int error);

  Command command_;
  Outcome outcome_;
  pid_t id_ = -1;
  int in_ = -1, out_ = -1, err_ = -1;  // our ends; -1 once closed
  std::size_t sent_ = 0;               // bytes of input written so far
  bool ended_ = false;
};

Outcome run(const Command& command, std::chrono::milliseconds limit = std::chrono::seconds(60));

// The path of a program built beside this test program: sibling_program("tern").
std::string sibling_program(std::string_view name);

// As root: the first folder above this test program or the working folder that other users cannot
// enter, so that Command::unprivileged cannot run a program there; empty: there is none.
std::string folder_closed_to_others();
#define SKIP_IN_A_FOLDER_CLOSED_TO_OTHERS()                                  \
  if (const std::string closed = folder_closed_to_others(); !closed.empty()) \
  GTEST_SKIP() << closed << ": only its owner can enter it: no program runs there as another user"

}  // namespace tern
