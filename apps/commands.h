// The subcommands of tern. Each adds itself to the command line; its callback throws Error.
#pragma once

#include <CLI/CLI.hpp>

namespace tern {

void add_golden(CLI::App& tern);
void add_ngram(CLI::App& tern);
void add_plot(CLI::App& tern);
void add_prepare(CLI::App& tern);
void add_tokenizer(CLI::App& tern);

}  // namespace tern
