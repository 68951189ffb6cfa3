// Help, manual page and completion, all from the one table of commands and options.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace tern {

std::string help_text(const CLI::App& app);  // of tern itself: every command with one line
std::string usage_of(const CLI::App& app);   // "tern train [OPTIONS] CONFIG"
std::string man_page(const CLI::App& tern);  // troff, section 1
std::string bash_completion(const CLI::App& tern);

}  // namespace tern
