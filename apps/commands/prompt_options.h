// The beginning of a text, from a command line, a file or standard input: --prompt, --prompt-file.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

namespace tern {

struct PromptOptions {
  std::optional<std::string> text{}, file{};
};

void add_prompt_options(CLI::App& command, PromptOptions& options);
void check_prompt_options(const PromptOptions& options);  // Fault::usage for both of them

// Without an option: standard input where that may be read, unless it is a terminal.
// Fault::input for what cannot be read.
std::string prompt_of(const PromptOptions& options, bool reads_input = true);

// On standard output; what could change a terminal is made visible there.
void show_text(const std::string& text);

}  // namespace tern
