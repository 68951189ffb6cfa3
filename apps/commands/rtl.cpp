// tern rtl run: text from the accelerator's core in simulation, and the cycles that it took.
#include <cmath>

#include "apps/commands/command_line.h"
#include "apps/commands/prompt_options.h"
#include "apps/rtl/model_image.h"
#include "apps/rtl/simulation.h"
#include "core/check.h"
#include "data/text/utf8.h"
#include "runtime/text_generator.h"

namespace tern {
namespace {

struct RunOptions {
  std::string image, waveform;
  PromptOptions prompt{};
  std::int64_t tokens = 100;
  double clock = 60;
  std::int64_t latency = 1;
};

void check_options(const RunOptions& o) {
  constexpr std::int64_t kMostLatency = 1'000'000;
  check_prompt_options(o.prompt);
  require(o.tokens > 0, Fault::usage, "-n: expected a number > 0, got ", o.tokens);
  require(std::isfinite(o.clock) && o.clock > 0, Fault::usage,
          "--clock: expected a number > 0, got ", o.clock);
  require(o.latency >= 1 && o.latency <= kMostLatency, Fault::usage, "--latency: expected 1 to ",
          kMostLatency, ", got ", o.latency);
  require(o.waveform.empty() || !path_exists(o.waveform, Fault::usage), Fault::usage,
          "--trace: expected a new file, but ", o.waveform, " exists");
}

void run_image(const RunOptions& o) {
  check_options(o);
  ModelImage model = open_image(o.image);
  require(model.tokenizer.has_value(), Fault::usage, o.image,
          ": this image has no tokenizer: export it from a model that has one");
  const Tokenizer& tokenizer = *model.tokenizer;
  Simulation core(model.image, {.latency = int(o.latency), .waveform = o.waveform});
  const std::string prompt = prompt_of(o.prompt);
  const std::vector<std::int32_t> ids = prompt_ids(tokenizer, model.documents, prompt);
  require(!ids.empty(), Fault::usage,
          "prompt: expected text: documents of the training data begin without a token of their "
          "own");
  const std::size_t whole = prompt.size() - incomplete_suffix(prompt);
  if (o.prompt.text) show_text(prompt.substr(0, whole));
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) core.run(ids[i]);
  Decoder decoder(tokenizer, prompt.empty(), prompt.substr(whole));
  const std::int32_t end = model.documents.eos ? tokenizer.eos_id() : tokenizer.bos_id();
  std::int32_t id = ids.back();
  for (std::int64_t n = 0; n < o.tokens && (id = core.run(id)) != end; ++n)
    show_text(decoder.push(id));
  show_text(decoder.held() + "\n\n" + core.report(o.clock));
}

}  // namespace

void add_rtl(CLI::App& tern) {
  CLI::App& rtl = *tern.add_subcommand("rtl", "Run the accelerator in simulation.");
  CLI::App& command = *rtl.add_subcommand(
      "run", "Write text with the accelerator's core in simulation, and say what it takes.");
  const auto o = std::make_shared<RunOptions>();
  command.add_option("IMAGE", o->image, "an image for the accelerator, of tern export --to rtl")
      ->transform(path_argument())
      ->required();
  add_prompt_options(command, o->prompt);
  command
      .add_option("-n,--tokens", o->tokens, "number of tokens to write, the likeliest each time")
      ->capture_default_str();
  command
      .add_option("--clock", o->clock,
                  "MHz for which speeds are said; the design was not placed on any chip")
      ->capture_default_str();
  command
      .add_option("--latency", o->latency,
                  "clock cycles from a request to the memory to its first beat")
      ->capture_default_str();
  command
      .add_option("--trace", o->waveform,
                  "a new file: the first cycles as a waveform in FST, for GTKWave and others")
      ->transform(path_argument());
  command.callback([o] { run_image(*o); });
}

}  // namespace tern
