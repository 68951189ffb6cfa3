// Text to a tree of toml++, and its nodes to values of keys. Bounds the text before toml++ sees it:
// toml++ recurses over the parts of a dotted key without a limit, and overflows the stack.
#pragma once

#include "apps/config/load.h"
#include "apps/config/schema.h"

#define TOML_MAX_NESTED_VALUES 16
// toml++ 3.3 asserts of "[~a]" that a key begins there, and then checks it: debug builds would
// abort, and clang's release builds leave the check out.
#if __has_include(<toml++/impl/preprocessor.hpp>)
#include <toml++/impl/preprocessor.hpp>
#else
#include <toml++/impl/preprocessor.h>
#endif
#undef TOML_ASSERT
#define TOML_ASSERT(expr) static_assert(true)
#undef TOML_ASSERT_ASSUME
#define TOML_ASSERT_ASSUME(expr) static_assert(true)
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
// too deeply nested, begins with a byte-order mark, holds a NUL or, outside of strings and
// comments, more than ASCII, and when reading cannot go on.
TomlDocument parse_document(std::string text, const std::string& name, ConfigProblems& problems);

// the place where a part of the document begins
ValueOrigin origin_of(const toml::source_region& region);

struct ValueMistake {
  std::string text;  // "expected a number > 0, got the string "1e-3" (remove the quotes)"
};

// the node as a value of the key
std::variant<ConfigValue, ValueMistake> read_value(const toml::node& node, const ConfigKey& key);

// a node in words: the string "1e-3", the integer 5, a table
std::string describe(const toml::node& node);

}  // namespace tern
