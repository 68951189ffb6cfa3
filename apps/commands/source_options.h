// The options of commands that read texts: INPUT..., --format, --separator, --json-field.
#pragma once

#include <CLI/CLI.hpp>

#include "data/text/sources.h"

namespace tern {

struct SourceOptions {
  std::vector<std::string> inputs{};
  std::string format = "auto";
  DocumentRules rules{};
  std::optional<SourceFormat> forced_format() const;  // none for "auto"
};

void warn(const std::string& what);  // a line on stderr

void add_source_options(CLI::App& command, SourceOptions& options);

}  // namespace tern
