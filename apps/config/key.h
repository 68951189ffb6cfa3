// What the schema is made of: keys, and the tables of a file that hold them.
#pragma once

#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/config/value.h"
#include "runtime/run_config.h"

namespace tern {

// Of numbers and of the amount of a Span; finite in any case.
struct NumberRange {
  double low = 0;
  double high = std::numeric_limits<double>::infinity();
  bool above_low = false;   // low itself is excluded
  bool below_high = false;  // and high
  bool contains(double x) const;
  std::string text() const;  // "> 0 and <= 1"
};

// One key of a configuration file.
struct ConfigKey {
  std::string name{};
  NumberRange range{};
  std::vector<std::string> choices{};  // what a text may be, empty: anything
  bool required = false;
  bool path = false;  // of a file or directory: ~ is expanded, and spelling does not matter
  std::string unit{};
  std::string doc{};
  // where it lives, filled in by binding.h; the index counts the tables of a list, else it is 0
  ConfigValue fallback{};
  std::function<ConfigValue(const RunConfig&, std::size_t index)> get{};
  std::function<void(RunConfig&, std::size_t index, const ConfigValue&)> set{};
};

// A [table] of the file or, when it is a list, its [[tables]].
struct ConfigSection {
  std::string name{};
  std::string doc{};
  bool list = false;
  std::vector<ConfigKey> keys{};
  std::function<std::size_t(const RunConfig&)> count{};  // of tables; 1 unless it is a list
  std::function<void(RunConfig&)> append{};              // one more table to a list
};

using ConfigSchema = std::vector<ConfigSection>;

const ConfigSection* find_section(const ConfigSchema& schema, std::string_view name);
const ConfigKey* find_key(const ConfigSection& section, std::string_view name);

// [optimizer] or [[data.source]], as a file writes it
std::string header(const ConfigSection& section);

// "optimizer.lr", "data.source.0.path": how a value is called in messages and by --set
std::string full_name(const ConfigSection& section, std::size_t index, const ConfigKey& key);

// what a value of this key must be, in words: "a number > 0 and <= 1"
std::string expectation(const ConfigKey& key);

}  // namespace tern
