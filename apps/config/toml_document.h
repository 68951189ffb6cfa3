// Text to a tree of toml++, with everything bounded before toml++ sees it (its recursion over the
// parts of a dotted key has no limit of its own).
#pragma once

#include <string>
#include <vector>

#include "apps/config/problems.h"

#define TOML_MAX_NESTED_VALUES 16
#include <toml++/toml.h>

namespace tern {

inline constexpr std::size_t kMaxConfigBytes = 64 * 1024;
inline constexpr std::size_t kMaxConfigNesting = 16;  // of arrays and tables, and of dotted keys

struct TomlDocument {
  toml::table root;
  std::vector<std::string> left_out;  // last parts of the keys whose lines could not be read
};

// Syntax errors go to `problems`; a line `key = value` that holds one is left out and the rest is
// read, so that one pass shows more than the first. Fault::usage at once for text that is too long,
// too deeply nested, begins with a byte-order mark or holds a NUL, and when reading cannot go on.
TomlDocument parse_document(std::string text, const std::string& name, ConfigProblems& problems);

// the place where a part of the document begins
ValueOrigin origin_of(const toml::source_region& region);

}  // namespace tern
