// tern generate: text from a checkpoint, streamed as it is made.
#include <cmath>

#include "apps/commands/command_line.h"
#include "apps/commands/prompt_options.h"
#include "apps/console/standard_streams.h"
#include "apps/run/interactive.h"
#include "apps/run/open_model.h"
#include "runtime/state_file.h"

namespace tern {
namespace {

struct GenerateOptions {
  std::string checkpoint, tokenizer, device = "cpu";
  PromptOptions prompt{};
  std::optional<std::string> state_in{}, state_out{};
  std::vector<std::string> stops{};
  std::int64_t tokens = 100;
  bool interactive = false;
  Sampling sampling{};
};

void check_options(const GenerateOptions& o) {
  const Sampling& s = o.sampling;
  require(std::isfinite(s.temperature) && s.temperature >= 0, Fault::usage,
          "--temperature: expected a number >= 0, got ", s.temperature);
  require(s.top_p > 0 && s.top_p <= 1, Fault::usage, "--top-p: expected 0 < p <= 1, got ", s.top_p);
  require(s.top_k >= 0, Fault::usage, "--top-k: expected k >= 0 (0: all), got ", s.top_k);
  require(o.tokens >= 0, Fault::usage, "-n: expected a number >= 0, got ", o.tokens);
  check_prompt_options(o.prompt);
  require(!o.interactive || o.prompt.file != kStandardInput, Fault::usage,
          "--prompt-file: expected a file beside --interactive, which reads standard input, got -");
  for (const std::string& stop : o.stops)
    require(!stop.empty(), Fault::usage, "--stop: expected a text, got an empty one");
  if (o.state_out) require_state_place(*o.state_out);
}

void generate(const GenerateOptions& options) {
  check_options(options);
  SavedModel saved = open_model(options.checkpoint);
  if (!options.tokenizer.empty()) set_tokenizer(saved, Tokenizer::load(options.tokenizer));
  const Tokenizer& tokenizer = require_tokenizer(saved);
  std::optional<StateOwner> owner;
  if (options.state_in || options.state_out) owner = owner_of(saved);
  std::optional<StateFile> before;
  if (options.state_in) before = StateFile::open(*options.state_in, *owner, saved.config.model);
  const std::string prompt = prompt_of(options.prompt, !options.interactive);
  const std::int64_t positions =
      (before ? before->positions() + 1 : 0) +
      std::int64_t(prompt_ids(tokenizer, saved.documents, prompt).size()) +
      std::min(options.tokens, kMostPositions);
  LoadedModel loaded = load_model(saved, Device(options.device), [&](Model& model) {
    Generator(model, options.sampling, positions).rehearse();
  });
  Generator generator(*loaded.model, options.sampling, positions);
  TextGenerator text(generator, tokenizer, saved.documents);
  if (before) before->load(text);
  const TextGenerator::Limits limits{.tokens = options.tokens, .stops = options.stops};
  if (!options.interactive || !prompt.empty())
    text.read(prompt, options.prompt.text ? show_text : ShowText());
  if (options.interactive) {
    if (options.prompt.text) show_text("\n");
    write_in_turns(text, limits, show_text);
  } else {
    text.write(limits, show_text);
    show_text((options.state_out ? "" : text.take_held()) + '\n');
  }
  if (options.state_out) save_state(*options.state_out, text, *owner);
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
  add_prompt_options(command, o->prompt);
  command.add_flag("--interactive", o->interactive,
                   "read lines of standard input in turn, each on top of the text so far,\n"
                   "and go on behind each; Ctrl-C ends an answer, Ctrl-D the program.\n"
                   "A backslash at the end of a line: the next line belongs to it");
  command.add_option("-n,--tokens", o->tokens, "number of tokens to generate")
      ->capture_default_str();
  add_list(command, "--stop", o->stops,
           "end before this text in what is generated; may be repeated");
  command.add_option("--temperature", o->sampling.temperature, "0: always the likeliest token")
      ->capture_default_str();
  command.add_option("--top-k", o->sampling.top_k, "draw from the k likeliest only; 0: from all")
      ->capture_default_str();
  command.add_option("--top-p", o->sampling.top_p, "draw from the likeliest that sum to p")
      ->capture_default_str();
  command.add_option("--seed", o->sampling.seed, "same seed, same text")->capture_default_str();
  command
      .add_option("--state-out", o->state_out,
                  "file to write: where the text ends, for --state-in of another run")
      ->transform(path_argument());
  command.add_option("--state-in", o->state_in, "go on from there, as one run would")
      ->transform(path_argument());
  command.add_option("--device", o->device, "cpu, cuda or cuda:N")->capture_default_str();
  command.callback([o] { generate(*o); });
}

}  // namespace tern
