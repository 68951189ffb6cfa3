// The subcommands of tern. Each adds itself to the command line; its callback throws Error.
#pragma once

#include <CLI/CLI.hpp>

namespace tern {

void add_config(CLI::App& tern);

}  // namespace tern
