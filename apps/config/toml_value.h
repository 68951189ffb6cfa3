// One node of a document to the value of a key.
#pragma once

#include <string>
#include <variant>

#include "apps/config/key.h"
#include "apps/config/toml_document.h"

namespace tern {

struct ValueMistake {
  std::string text;  // "expected a number > 0, got the string "1e-3" (remove the quotes)"
};

std::variant<ConfigValue, ValueMistake> read_value(const toml::node& node, const ConfigKey& key);

// what a node is, in words: the string "1e-3", the integer 5, a table
std::string describe(const toml::node& node);

}  // namespace tern
