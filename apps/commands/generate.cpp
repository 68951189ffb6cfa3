// tern generate: text from a checkpoint, streamed as it is made.
#include <cmath>

#include "apps/commands/command_line.h"
#include "apps/console/standard_streams.h"
#include "apps/console/terminal.h"
#include "apps/run/interactive.h"
#include "apps/run/open_model.h"
#include "data/text/documents.h"
#include "data/text/utf8.h"
#include "runtime/state_file.h"

namespace tern {
namespace {

struct GenerateOptions {
  std::string checkpoint, tokenizer, device = "cpu";
  std::optional<std::string> prompt{}, prompt_file{}, state_in{}, state_out{};
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
  require(!o.prompt || !o.prompt_file, Fault::usage,
          "expected --prompt or --prompt-file, got both");
  require(!o.interactive || o.prompt_file != kStandardInput, Fault::usage,
          "--prompt-file: expected a file beside --interactive, which reads standard input, got -");
  for (const std::string& stop : o.stops)
    require(!stop.empty(), Fault::usage, "--stop: expected a text, got an empty one");
  if (o.state_out) require_state_place(*o.state_out);
}

void show(const std::string& text) {
  write_output(isatty(STDOUT_FILENO) ? printable(text) : text);
}

std::string read_text(const std::string& path) {
  std::string text = read_input(path, kMaxDocumentBytes);
  require(!text.starts_with("\xff\xfe") && !text.starts_with("\xfe\xff"), Fault::input,
          path == kStandardInput ? "standard input" : path,
          ": is UTF-16: convert it, for example with iconv -f UTF-16 -t UTF-8");
  return text;
}

// Without an option: standard input, unless a person sits there.
std::string prompt_of(const GenerateOptions& o) {
  if (o.prompt) return *o.prompt;
  if (o.prompt_file) return read_text(*o.prompt_file);
  const bool piped = !o.interactive && !isatty(STDIN_FILENO);
  return piped ? read_text(std::string(kStandardInput)) : "";
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
  const std::string prompt = prompt_of(options);
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
    text.read(prompt, options.prompt ? show : ShowText());
  if (options.interactive) {
    if (options.prompt) show("\n");
    write_in_turns(text, limits, show);
  } else {
    text.write(limits, show);
    show((options.state_out ? "" : text.take_held()) + '\n');
  }
  if (options.state_out) save_state(*options.state_out, text, *owner);
}

void add_prompt_options(CLI::App& command, GenerateOptions& o) {
  command.add_option("--prompt", o.prompt, "beginning of the text; shown in front of what follows");
  command
      .add_option("--prompt-file", o.prompt_file,
                  "the same from a file, to its last byte, or from standard input (-);\nnot shown. "
                  "Without --prompt and this: standard input, if it is no terminal")
      ->transform(path_argument());
  command.add_flag("--interactive", o.interactive,
                   "read lines of standard input in turn, each on top of the text so far,\n"
                   "and go on behind each; Ctrl-C ends an answer, Ctrl-D the program.\n"
                   "A backslash at the end of a line: the next line belongs to it");
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
  add_prompt_options(command, *o);
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
