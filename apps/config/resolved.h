// A configuration written out in full, read back from a checkpoint, and the differences between
// two.
#pragma once

#include "apps/config/load.h"
#include "apps/config/schema.h"
#include "data/checkpoint/checkpoint.h"

namespace tern {

// TOML with every key, that parse_config reads as the same RunConfig; behind each key, in a
// comment, where its value came from.
std::string resolved_config(const LoadedConfig& loaded);

// The configuration that a checkpoint's run had; of an imported model only model and batch.context
// are known. Fault::input if the checkpoint has none, or one
// that this build does not know.
RunConfig saved_config(const Checkpoint& checkpoint);

struct Difference {
  std::string key, before, after;  // values as TOML; "" where a list has no such table
  Decides decides = Decides::run;
  bool path = false;  // of a file or directory
};

// Key by key, in the order of the schema; empty for equal configurations. Paths are compared as
// absolute ones without "." and "..".
std::vector<Difference> differences(const RunConfig& before, const RunConfig& after);

// Of several configurations: keys that are not the same in all, in the order of the schema as far
// as one pair shows it, and their values in each as TOML.
struct DifferingKeys {
  std::vector<std::string> keys{};
  std::vector<std::vector<std::string>> values{};  // [configuration][key]
};
DifferingKeys differing_keys(const std::vector<const RunConfig*>& configs,
                             const std::function<bool(const Difference&)>& counts);

// "optimizer.lr was 0.01, is 0.001; ..."
std::string text_of(const std::vector<Difference>& differences);

// Every key with its value, one a line, without those that hold paths: the part of a configuration
// that must be equal on all ranks. Files at the paths are compared by their hashes.
std::string values_without_paths(const RunConfig& config);

}  // namespace tern
