// The subcommands of tern, and the way from argv to one of them. Stands before CLI11, which then
// gets every argument in a form that it takes literally: COMMAND..., then `--option` and `value` as
// two words each, then `--` and the rest.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace tern {

// Runs the command that the arguments (without the program's name) ask for. Returns the exit code;
// Error(Fault::usage) in one line if there is no such command, option or value.
int run_command_line(CLI::App& tern, const std::vector<std::string>& arguments);

// Each subcommand adds itself to the command line; its callback throws Error.
void add_bench(CLI::App& tern);
void add_bench_decode(CLI::App& bench);  // a part of it
void add_completion(CLI::App& tern);
void add_config(CLI::App& tern);
void add_eval(CLI::App& tern);
void add_export(CLI::App& tern);
void add_generate(CLI::App& tern);
void add_golden(CLI::App& tern);
void add_help(CLI::App& tern);
void add_info(CLI::App& tern);
void add_import(CLI::App& tern);
void add_inspect(CLI::App& tern);
void add_ngram(CLI::App& tern);
void add_plan(CLI::App& tern);
void add_plot(CLI::App& tern);
void add_prepare(CLI::App& tern);
void add_report(CLI::App& tern);
void add_rtl(CLI::App& tern);
void add_runs(CLI::App& tern);
void add_scaling(CLI::App& tern);
void add_scaling_plan(CLI::App& scaling);  // a part of it
void add_sweep(CLI::App& tern);
void add_tokenizer(CLI::App& tern);
void add_trace(CLI::App& tern);
void add_train(CLI::App& tern, const std::vector<std::string>& command_line);

// all of them, in the order in which a user needs them; command_line: argv, for `train`
void add_commands(CLI::App& tern, const std::vector<std::string>& command_line);

// Every value of an option that may be repeated, or every positional argument, as typed. CLI11's
// own vectors take brackets off, split at commas, and drop "{}" and "%%".
template <class T>
CLI::Option* add_list(CLI::App& command, const std::string& name, std::vector<T>& to,
                      const std::string& help) {
  const auto keep = [&to](const CLI::results_t& values) {
    to.assign(values.begin(), values.end());
    return true;
  };
  CLI::Option* option = command.add_option(name, keep, help);
  option->type_name("TEXT")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  constexpr int kAny = CLI::detail::expected_max_vector_size;
  if (option->get_positional()) option->expected(kAny, kAny);
  return option;
}

// For an option that is a path: the home directory in place of ~, where the shell has not put it.
CLI::Validator path_argument();

// --set KEY=VALUE, of commands that read a configuration
void add_settings(CLI::App& command, std::vector<std::string>& settings);

// Commands and options, for help, completion and the checks of a command line.
std::vector<const CLI::App*> commands_of(const CLI::App& app);    // its subcommands
std::vector<const CLI::Option*> options_of(const CLI::App& app);  // also of its option groups
struct FoundCommand {
  const CLI::App* app = nullptr;  // null: there is none of that name
  std::string nearest{};          // then: the name most like it, or ""
};
FoundCommand find_subcommand(const CLI::App& app, const std::string& name);
bool takes_value(const CLI::Option& option);
bool is_hidden(const CLI::Option& option);
std::string path_of(const CLI::App& app);  // "tern tokenizer train"

// --- help, manual page and completion, all from the one table of commands and options ---

std::string help_text(const CLI::App& app);  // of tern itself: every command with one line
std::string usage_of(const CLI::App& app);   // "tern train [OPTIONS] CONFIG"
std::string man_page(const CLI::App& tern);  // troff, section 1
std::string bash_completion(const CLI::App& tern);

}  // namespace tern
