// The one table of all configuration keys, and its parts: keys with their values, the tables of a
// file that hold them, and their ties to the fields of the configuration's structs. Reading,
// checking, overriding, writing and the reference page all walk it: a new key is one field in
// run_config.h and one entry in schema*.cpp.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <type_traits>
#include <utility>
#include <variant>

#include "core/check.h"
#include "runtime/run_config.h"

namespace tern {

// One value of a configuration.
using ConfigValue =
    std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>, Span>;

// TOML that reads back as the same value; doubles in the shortest such form
std::string to_toml(const ConfigValue& value);

// a basic string of TOML
std::string toml_string(std::string_view text);

// for messages: the beginning of a text on one line, safe for a terminal
std::string excerpt(std::string_view text, std::size_t longest = 60);

// Of numbers and of the amount of a Span; finite in any case.
struct NumberRange {
  double low = 0;
  double high = std::numeric_limits<double>::infinity();
  bool above_low = false;   // low itself is excluded
  bool below_high = false;  // and high
  bool contains(double x) const;
  std::string text() const;  // "> 0 and <= 1"
};

// What a key decides, and so when it may change from one start of a run to the next.
enum class Decides {
  run,     // batches, model, numbers: never
  course,  // how training continues from here: when --resume asks for it
  place,   // where and how the run is computed and reported: always; data is compared by its hash
};

// One key of a configuration file.
struct ConfigKey {
  std::string name{};
  NumberRange range{};
  std::vector<std::string> choices{};  // of a text; empty: any text
  // of a choice: what earlier releases called it, and its name now
  std::vector<std::pair<std::string, std::string>> earlier_names{};
  bool required = false;
  bool path = false;  // of a file or directory: ~ is expanded, and spelling does not matter
  std::string unit{};
  Decides decides = Decides::run;
  std::string doc{};
  // where it lives, filled in by table() and tables(); the index counts the tables of a list, else
  // it is 0
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

// the values that this key takes, in words: "a number > 0 and <= 1"
std::string expectation(const ConfigKey& key);

// the nearest of the names by edit distance, or "" when none is near
std::string nearest(std::string_view wrong, const std::vector<std::string>& names);

// the key nearest to an unknown one of a table, in any table: "optimizer.lr"; "" when none is near
std::string nearest_key(const ConfigSchema& schema, std::string_view table, std::string_view key);

// the table nearest to an unknown one: "optimizer"; "" when none is near
std::string nearest_table(const ConfigSchema& schema, std::string_view table);

// --- keys tied to the fields of the configuration's structs ---

constexpr double kMaxSteps = 1e9;
constexpr double kMaxTokens = 1e15;

constexpr NumberRange between(double low, double high) {
  return {.low = low, .high = high};
}
constexpr NumberRange above(double low, double high) {
  return {.low = low, .high = high, .above_low = true};
}

// A key of one struct, before it is known where that struct lives.
template <class Struct>
struct FieldKey {
  ConfigKey key;
  std::function<ConfigValue(const Struct&)> get;
  std::function<void(Struct&, const ConfigValue&)> set;
};

// the names of an enum's values, in order, are its choices; no other type needs them here
template <class Field>
ConfigValue to_value(const Field& field, const std::vector<std::string>& names) {
  if constexpr (std::is_enum_v<Field>) {
    return names.at(std::size_t(field));
  } else {
    return field;
  }
}

template <class Field>
void from_value(Field& field, const ConfigValue& value, const std::vector<std::string>& names) {
  if constexpr (std::is_enum_v<Field>) {
    const auto name = std::ranges::find(names, std::get<std::string>(value));
    check(name != names.end(), "[config] expected the name of a choice");
    field = Field(name - names.begin());
  } else {
    field = std::get<Field>(value);
  }
}

template <class Struct, class Field>
FieldKey<Struct> field(Field Struct::*member, ConfigKey key) {
  const std::vector<std::string> names = key.choices;
  key.fallback = to_value(Struct{}.*member, names);
  return {std::move(key), [=](const Struct& s) { return to_value(s.*member, names); },
          [=](Struct& s, const ConfigValue& value) { from_value(s.*member, value, names); }};
}

// One [name] table; `of` maps a RunConfig to the struct, const or not.
template <class Struct, class Access>
ConfigSection table(std::string name, std::string doc, Access of,
                    std::vector<FieldKey<Struct>> fields) {
  ConfigSection section{.name = std::move(name), .doc = std::move(doc)};
  section.count = [](const RunConfig&) { return std::size_t(1); };
  for (FieldKey<Struct>& f : fields) {
    ConfigKey& key = section.keys.emplace_back(std::move(f.key));
    key.get = [=, get = f.get](const RunConfig& c, std::size_t) { return get(std::invoke(of, c)); };
    key.set = [=, set = f.set](RunConfig& c, std::size_t, const ConfigValue& value) {
      set(std::invoke(of, c), value);
    };
  }
  return section;
}

// A list of [[name]] tables; `of` maps a RunConfig to the vector.
template <class Struct, class Access>
ConfigSection tables(std::string name, std::string doc, Access of,
                     std::vector<FieldKey<Struct>> fields) {
  ConfigSection section{.name = std::move(name), .doc = std::move(doc), .list = true};
  section.count = [=](const RunConfig& c) { return of(c).size(); };
  section.append = [=](RunConfig& c) { of(c).emplace_back(); };
  for (FieldKey<Struct>& f : fields) {
    ConfigKey& key = section.keys.emplace_back(std::move(f.key));
    key.get = [=, get = f.get](const RunConfig& c, std::size_t i) { return get(of(c).at(i)); };
    key.set = [=, set = f.set](RunConfig& c, std::size_t i, const ConfigValue& value) {
      set(of(c).at(i), value);
    };
  }
  return section;
}

// The section with the same answer for all its keys.
inline ConfigSection all_decide(Decides what, ConfigSection section) {
  for (ConfigKey& key : section.keys) key.decides = what;
  return section;
}

const ConfigSchema& schema();

// the part of it from the schedule on; run, model, data and optimizer come before
ConfigSchema training_schema();
// the tables about several processes
ConfigSection ranks_section();
ConfigSection parallel_section();

// The page docs/config.md, in Markdown: for each table its keys with type, default and meaning.
std::string config_reference();

}  // namespace tern
