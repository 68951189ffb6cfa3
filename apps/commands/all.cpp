// The table of all commands. A new one is a file beside this one and a line here.
#include "apps/commands.h"
#include "apps/commands/command_line.h"

namespace tern {

void add_commands(CLI::App& tern, const std::vector<std::string>& command_line) {
  tern.add_flag("-v,--version")->description("print the version");
  add_tokenizer(tern);
  add_prepare(tern);
  add_plan(tern);
  add_train(tern, command_line);
  add_eval(tern);
  add_generate(tern);
  add_plot(tern);
  add_inspect(tern);
  add_config(tern);
  add_golden(tern);
  add_trace(tern);
  add_ngram(tern);
  add_bench(tern);
  add_info(tern);
  add_help(tern);
  add_completion(tern);
}

}  // namespace tern
