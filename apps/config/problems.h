// The mistakes found in a configuration: collected, so that one run of tern shows them all.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace tern {

// Where something was written: a place in the file (lines and columns from 1), or an override.
struct ValueOrigin {
  enum class Kind { file, set, derived };
  Kind kind = Kind::file;
  std::size_t line = 0, column = 0;
  std::string text;  // of an override: "--set key=value"; of a derived value: its origin
};

class ConfigProblems {
 public:
  explicit ConfigProblems(std::string file) : file_(std::move(file)) {}

  void add(const ValueOrigin& at, const std::string& text);
  void add_anywhere(const std::string& text);  // about the file as a whole

  bool empty() const { return found_.empty(); }
  std::size_t size() const { return found_.size(); }

  // Fault::usage, one line each in the order of the file; --set after it
  [[noreturn]] void raise() const;

 private:
  struct Problem {
    std::size_t line, column;
    std::string text;
  };
  std::string file_;
  std::vector<Problem> found_;
};

}  // namespace tern
