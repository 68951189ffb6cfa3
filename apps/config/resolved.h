// A configuration written out in full, and what differs between two.
#pragma once

#include <string>
#include <vector>

#include "apps/config/load.h"

namespace tern {

// TOML with every key, that parse_config reads as the same RunConfig; behind each key, in a
// comment, where its value came from.
std::string resolved_config(const LoadedConfig& loaded);

struct Difference {
  std::string key, before, after;  // values as TOML; "" where a list has no such table
};

// key by key, in the order of the schema; empty for equal configurations
std::vector<Difference> differences(const RunConfig& before, const RunConfig& after);

}  // namespace tern
