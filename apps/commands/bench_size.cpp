#include "apps/commands/bench_size.h"

#include <fmt/format.h>

#include "apps/config/load.h"

namespace tern {

RunConfig BenchSize::config(int micro_batches, const std::vector<std::string>& overrides) const {
  const std::string numbers =
      name.empty() ? fmt::format("vocab_size = {}\nhidden_size = {}\nnum_hidden_layers = {}",
                                 model.vocab_size, model.width, model.layers)
                   : fmt::format("size = \"{}\"", name);
  const std::string text = fmt::format(
      "[run]\nsteps = 1\n[model]\n{}\n[batch]\ntokens = {}\ncontext = {}\nmicro_batch = {}\n"
      "[optimizer]\nlr = 1e-3\n[[data.source]]\npath = \"random tokens\"\n",
      numbers, micro_batches * batch * context, context, batch);
  return parse_config(text, "bench", overrides).config;
}

void add_size_options(CLI::App& command, BenchSize& size, CLI::Option* instead) {
  const auto unless = [&](CLI::Option* option) {
    if (instead) option->excludes(instead);
  };
  const auto number = [&](const char* flag, Index& value, const char* help, Index most) {
    unless(command.add_option(flag, value, help)
               ->check(CLI::Range(Index(1), most))
               ->capture_default_str());
  };
  unless(command.add_option("--model", size.name, "a published size, in place of D, L and V")
             ->check(CLI::IsMember(model_names())));
  number("--width", size.model.width, "D", kMaxWidth);
  number("--layers", size.model.layers, "L", kMaxLayers);
  number("--vocab", size.model.vocab_size, "V", kMaxVocabSize);
  number("--batch", size.batch, "B", 65'536);
  number("--context", size.context, "T", 65'536);
}

}  // namespace tern
