// One value of a configuration and how it is written in TOML.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/run_config.h"

namespace tern {

using ConfigValue =
    std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>, Span>;

// TOML that reads back as the same value; doubles in the shortest such form
std::string to_toml(const ConfigValue& value);

// a basic string of TOML
std::string toml_string(std::string_view text);

// for messages: the beginning of a text on one line, safe for a terminal
std::string excerpt(std::string_view text, std::size_t longest = 60);

}  // namespace tern
