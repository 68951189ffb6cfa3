// The options of commands that read texts: INPUT..., --format, --separator, --json-field.
#pragma once

#include <CLI/CLI.hpp>

#include "data/text/input_files.h"

namespace tern {

struct InputOptions {
  std::vector<std::string> inputs{};
  std::string format = "auto";
  DocumentRules rules{};
  std::optional<InputFormat> forced_format() const;  // none for "auto"
};

void warn(const std::string& what);  // a line on stderr

void add_input_options(CLI::App& command, InputOptions& options);

}  // namespace tern
