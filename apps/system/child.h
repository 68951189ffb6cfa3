// A child process without a shell: arguments go as they are, signals and groups are its own.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tern {

struct Streams {
  int in = -1, out = -1, error = -1;  // descriptors for the child's 0, 1, 2; -1: /dev/null
};

struct ChildSettings {
  std::string program{};                                            // to run; empty: args[0]
  std::optional<std::map<std::string, std::string>> environment{};  // instead of ours
  int handed_on = -1;  // a descriptor that it has too, under the same number
};

class Child {
 public:
  // Starts args[0], a path or a name found through PATH. Fault::usage when it cannot be started.
  Child(const std::vector<std::string>& args, Streams streams, const ChildSettings& settings = {});
  ~Child();  // kills and reaps it if it still runs
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  bool ended();               // reaps; never waits
  bool wait(double seconds);  // false if it still runs after that long
  // its exit code, or 128 + the signal that ended it; only once it has ended
  int exit_code() const { return exit_code_; }
  int signal() const { return signal_; }  // that ended it, or 0
  void send(int signal) const;            // nothing once it has ended
  void send_to_group(int signal) const;   // and to its children

 private:
  pid_t id_ = -1;
  bool ended_ = false;
  int exit_code_ = -1, signal_ = 0;
};

// whether PATH has such a program
bool has_program(const std::string& name);

}  // namespace tern
