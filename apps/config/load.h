// From a file and the overrides of the command line to a checked RunConfig. Later wins: default,
// file, --set in their order. Relative paths in a file mean: relative to the current directory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <set>

#include "runtime/run_config.h"

namespace tern {

// Where something was written: a place in the file (lines and columns from 1), or an override.
struct ValueOrigin {
  enum class Kind { file, set, derived };
  Kind kind = Kind::file;
  std::size_t line = 0, column = 0;
  std::string text;  // of an override: "--set key=value"; of a derived value: its origin
};

// The mistakes found in a configuration: collected, so that one run of tern shows them all.
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

struct LoadedConfig {
  RunConfig config;
  std::string file;                            // its name in messages
  std::map<std::string, ValueOrigin> origins;  // by full key name; a missing key is a default
};

// overrides: "optimizer.lr=1e-3", "data.source.0.path=books"; a string needs no quotes, and the
// first free number of a list adds a table. Fault::usage with every mistake that was found, one a
// line, `file:line:column: key: expected ..., got ...`, and a suggestion where there is one.
LoadedConfig load_config(const std::filesystem::path& path,
                         const std::vector<std::string>& overrides = {});

// the same of a text; `file` is its name in messages and the default name of the run
LoadedConfig parse_config(const std::string& text, const std::string& file,
                          const std::vector<std::string>& overrides = {});

// Sets the vocabulary's size where model.vocab_size is 0; from: its origin, for messages.
void set_vocab_size(LoadedConfig& loaded, std::int64_t size, const std::string& from);

// Checks the rules that several values must satisfy together (each value is within its range
// already) and adds a problem for every broken rule. Skips rules about `invalid_keys`, whose values
// could not be read: their mistakes are in `problems` already.
void check_consistency(const LoadedConfig& loaded, const std::set<std::string>& invalid_keys,
                       ConfigProblems& problems);

}  // namespace tern
