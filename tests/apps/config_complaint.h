// What the reader of configurations says about a text: for the tests of what it must refuse.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "apps/config/load.h"
#include "core/check.h"

namespace tern {

inline constexpr const char* kValid = R"([run]
steps = 100
[model]
hidden_size = 64
num_hidden_layers = 2
[[data.source]]
path = "data/books"
[optimizer]
lr = 1e-3
)";

// the message of a configuration that must be refused with exit code 2, "accepted" if it was not
inline std::string complaint(const std::string& text,
                             const std::vector<std::string>& overrides = {}) {
  try {
    parse_config(text, "a.toml", overrides);
  } catch (const Error& e) {
    EXPECT_EQ(int(e.fault), 2);
    return e.what();
  }
  return "accepted";
}

// of the valid configuration with more lines, which begin in line 10
inline std::string complaint_of(const std::string& more) {
  return complaint(kValid + more);
}
inline std::string complaint_of_set(const std::string& one) {
  return complaint(kValid, {one});
}

inline std::size_t line_count(const std::string& text) {
  return 1 + std::size_t(std::count(text.begin(), text.end(), '\n'));
}

inline std::string complaint_of_file(const std::filesystem::path& path) {
  try {
    load_config(path);
  } catch (const Error& e) {
    EXPECT_EQ(int(e.fault), 2);
    return e.what();
  }
  return "accepted";
}

}  // namespace tern
