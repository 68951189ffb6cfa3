// The subcommands of tern. Each adds itself to the command line; its callback throws Error.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace tern {

void add_bench(CLI::App& tern);
void add_completion(CLI::App& tern);
void add_config(CLI::App& tern);
void add_eval(CLI::App& tern);
void add_generate(CLI::App& tern);
void add_golden(CLI::App& tern);
void add_help(CLI::App& tern);
void add_info(CLI::App& tern);
void add_inspect(CLI::App& tern);
void add_ngram(CLI::App& tern);
void add_plan(CLI::App& tern);
void add_plot(CLI::App& tern);
void add_prepare(CLI::App& tern);
void add_tokenizer(CLI::App& tern);
void add_trace(CLI::App& tern);
void add_train(CLI::App& tern, const std::vector<std::string>& command_line);

// all of them, in the order in which a user needs them; command_line: argv, for `train`
void add_commands(CLI::App& tern, const std::vector<std::string>& command_line);

}  // namespace tern
