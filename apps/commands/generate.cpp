// tern generate: text from a checkpoint, streamed as it is made.
#include <cmath>
#include <cstdio>

#include "apps/commands/command_line.h"
#include "apps/console/terminal.h"
#include "apps/run/open_model.h"
#include "data/text/utf8.h"
#include "runtime/generator.h"

namespace tern {
namespace {

struct GenerateOptions {
  std::string checkpoint, tokenizer, prompt, device = "cpu";
  std::int64_t tokens = 100;
  Sampling sampling{};
};

void check_options(const GenerateOptions& o) {
  const Sampling& s = o.sampling;
  require(std::isfinite(s.temperature) && s.temperature >= 0, Fault::usage,
          "--temperature: expected a number >= 0, got ", s.temperature);
  require(s.top_p > 0 && s.top_p <= 1, Fault::usage, "--top-p: expected 0 < p <= 1, got ", s.top_p);
  require(s.top_k >= 0, Fault::usage, "--top-k: expected k >= 0 (0: all), got ", s.top_k);
  require(o.tokens >= 0, Fault::usage, "-n: expected a number >= 0, got ", o.tokens);
}

void show(const std::string& text) {
  const std::string safe = isatty(STDOUT_FILENO) ? printable(text) : text;
  std::fwrite(safe.data(), 1, safe.size(), stdout);
  std::fflush(stdout);
}

void generate(const GenerateOptions& options) {
  check_options(options);
  SavedModel saved = open_model(options.checkpoint);
  if (!options.tokenizer.empty()) set_tokenizer(saved, Tokenizer::load(options.tokenizer));
  const Tokenizer& tokenizer = require_tokenizer(saved);
  const std::int64_t positions =
      std::int64_t(prompt_ids(tokenizer, saved.documents, options.prompt).size()) + options.tokens;
  LoadedModel loaded = load_model(saved, Device(options.device), [&](Model& model) {
    Generator(model, options.sampling, positions).rehearse();
  });
  Generator generator(*loaded.model, options.sampling, positions);
  show(options.prompt.substr(0, options.prompt.size() - incomplete_suffix(options.prompt)));
  continue_text(generator, tokenizer, saved.documents, options.prompt, options.tokens, show);
  show("\n");
}

}  // namespace

void add_generate(CLI::App& tern) {
  CLI::App& command = *tern.add_subcommand("generate", "Write text with a trained model.");
  const auto o = std::make_shared<GenerateOptions>();
  command.add_option("--checkpoint", o->checkpoint, kModelArgument)
      ->transform(path_argument())
      ->required();
  command
      .add_option("--tokenizer", o->tokenizer, "for a Hugging Face folder that has none: its file")
      ->transform(path_argument());
  command.add_option("--prompt", o->prompt, "beginning of the text");
  command.add_option("-n,--tokens", o->tokens, "number of tokens to generate")
      ->capture_default_str();
  command.add_option("--temperature", o->sampling.temperature, "0: always the likeliest token")
      ->capture_default_str();
  command.add_option("--top-k", o->sampling.top_k, "draw from the k likeliest only; 0: from all")
      ->capture_default_str();
  command.add_option("--top-p", o->sampling.top_p, "draw from the likeliest that sum to p")
      ->capture_default_str();
  command.add_option("--seed", o->sampling.seed, "same seed, same text")->capture_default_str();
  command.add_option("--device", o->device, "cpu, cuda or cuda:N")->capture_default_str();
  command.callback([o] { generate(*o); });
}

}  // namespace tern
