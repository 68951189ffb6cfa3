#include "apps/config/schema.h"

#include <fmt/format.h>

#include "layers/family.h"

namespace tern {
namespace {

constexpr NumberRange kShareBelowOne{.low = 0, .high = 1, .below_high = true};

ConfigSection run_section() {
  using S = RunSection;
  return table<S>(
      "run", "Length of the run, and the folder of its results.", &RunConfig::run,
      {field(&S::name, {.name = "name",
                        .decides = Decides::place,
                        .doc = "Name of the run and of its folder: letters, digits, `.`, `_`, `-`. "
                               "Empty: the configuration file's name without its extension."}),
       field(&S::directory, {.name = "directory",
                             .path = true,
                             .decides = Decides::place,
                             .doc = "The run's files go to `directory/name`."}),
       field(&S::seed, {.name = "seed",
                        .range = {.low = 0},
                        .doc = "Seed of the initial weights, the data order, the samples and the "
                               "stochastic rounding."}),
       field(&S::steps,
             {.name = "steps",
              .range = between(0, kMaxSteps),
              .unit = "steps",
              .decides = Decides::course,
              .doc = "Length of the run in optimizer steps. Give either this or `tokens`; a value "
                     "given by `--set` replaces either of them in the file."}),
       field(&S::tokens, {.name = "tokens",
                          .range = between(0, kMaxTokens),
                          .unit = "tokens",
                          .decides = Decides::course,
                          .doc = "Length of the run in tokens, rounded up to whole steps."}),
       field(&S::time_limit,
             {.name = "time_limit",
              .range = between(0, 1e9),
              .unit = "s",
              .decides = Decides::place,
              .doc = "Stop with a checkpoint and exit code 75 after this time; 0: no limit."})});
}

ConfigSection model_section() {
  using S = ModelConfig;
  std::vector<std::string> sizes = model_names();
  sizes.insert(sizes.begin(), "custom");
  ConfigSection section = table<RunConfig>(
      "model", "The model. Keys are named as in Hugging Face's `config.json`.", std::identity{},
      {field(&RunConfig::model_size, {.name = "size",
                                      .choices = sizes,
                                      .doc = "A size by name sets `hidden_size` and "
                                             "`num_hidden_layers`; with `custom`, give both. "
                                             "`13b` has those of LLaMA-13B, the others are "
                                             "published."})});
  std::vector<std::string> types;
  for (const Family& family : families()) types.emplace_back(family.type);
  ConfigSection numbers = table<S>(
      "model", "", &RunConfig::model,
      {field(&S::vocab_size,
             {.name = "vocab_size",
              .range = between(0, kMaxVocabSize),
              .unit = "tokens",
              .doc = "Size of the vocabulary; 0: the size of the data's tokenizer."}),
       field(&S::width, {.name = "hidden_size", .range = between(1, kMaxWidth), .doc = "Width D."}),
       field(&S::layers, {.name = "num_hidden_layers",
                          .range = between(1, kMaxLayers),
                          .doc = "Number of blocks L."}),
       field(&S::explicit_glu_width,
             {.name = "intermediate_size",
              .range = between(0, kMaxGluWidth),
              .doc = "Width H of the gated linear unit; 0: 256 ceil(int(8 D / 3) / 256)."}),
       field(&S::use_lower_bound, {.name = "use_lower_bound",
                                   .doc = "Learn a lower bound of the forget gates per layer."}),
       field(&S::use_output_gate,
             {.name = "use_output_gate",
              .doc = "Gate the output of MLGRU: o_proj reads norm(g) silu(h); `false`: h alone, an "
                     "ablation."}),
       field(&S::rms_norm_eps,
             {.name = "rms_norm_eps", .range = above(0, 1), .doc = "Added to every mean square."}),
       field(&S::quantize, {.name = "quantize",
                            .choices = {"ternary", "none"},
                            .doc = "`none` leaves weights and activations in float: the control "
                                   "experiment, which shows the cost of ternary weights."}),
       field(&S::init, {.name = "init",
                        .choices = {"reference", "normal"},
                        .doc = "`reference`: the initial values of the published code, and of "
                               "GPT-2 for a `transformer`; `normal`: every matrix N(0, 0.02)."}),
       field(&S::type, {.name = "type",
                        .choices = types,
                        .earlier_names = {{"hgrn_bit", "matmulfree"}},
                        .doc = "The model family, which names the mixers of a block: `matmulfree` "
                               "is the MatMul-free model; `transformer` is Transformer++, the "
                               "model it is compared with (Llama's shape; ternary, every "
                               "projection has a norm of its own); `cumulative_mean` is the "
                               "example of [adding a token mixer](adding_a_mixer.md)."}),
       field(&S::explicit_heads,
             {.name = "num_attention_heads",
              .range = between(0, kMaxWidth),
              .doc = "Heads of a `transformer`; 0: heads of 128 channels, of 64 if D < 1024."}),
       field(&S::rope_theta,
             {.name = "rope_theta",
              .range = above(0, 1e12),
              .doc = "Base of the wave lengths of a `transformer`'s rotary position "
                     "embedding."}),
       field(&S::attention, {.name = "attention",
                             .choices = {"dense", "ternary"},
                             .doc = "`ternary` rounds the queries and keys of a ternary "
                                    "`transformer` too: the experiment that fails in the "
                                    "paper."})});
  numbers.keys.front().fallback = RunConfig{}.model.vocab_size;
  section.keys.insert(section.keys.end(), numbers.keys.begin(), numbers.keys.end());
  return section;
}

ConfigSection data_section() {
  using S = DataSection;
  return table<S>(
      "data", "The training and validation data.", &RunConfig::data,
      {field(&S::order, {.name = "order",
                         .choices = {"shuffled", "sequential"},
                         .doc = "Order of the training sequences. Shuffled by `run.seed`, the same "
                                "for any number of processes."}),
       field(&S::tokenizer, {.name = "tokenizer",
                             .path = true,
                             .decides = Decides::place,
                             .doc = "SentencePiece `.model` or `tokenizer.json` for sample texts. "
                                    "Empty: the tokenizer that prepared the data."}),
       field(&S::verify,
             {.name = "verify",
              .decides = Decides::place,
              .doc = "Read all data at the start and compare it with the stored hashes, on every "
                     "rank. Takes as long as reading it once. Damage stops the run (exit code 3); "
                     "`tern inspect --verify DATA` does the same without a run."})});
}

ConfigSection source_section() {
  using S = DataSource;
  return tables<S>(
      "data.source", "The prepared corpora, at least one; each begins with `[[data.source]]`.",
      [](auto& c) -> auto& { return c.data.sources; },
      {field(&S::path, {.name = "path",
                        .required = true,
                        .path = true,
                        .decides = Decides::place,
                        .doc = "Folder that `tern prepare` wrote."}),
       field(&S::weight, {.name = "weight",
                          .range = above(0, 1e6),
                          .doc = "Share of the training sequences, relative to other weights."}),
       field(
           &S::validation,
           {.name = "validation",
            .path = true,
            .decides = Decides::place,
            .doc =
                "Another prepared folder for validation: its validation part, or all of it if it "
                "has none. Empty: the validation part of `path` (`tern prepare --validation`)."})});
}

ConfigSection optimizer_section() {
  using S = OptimizerSection;
  return table<S>(
      "optimizer", "AdamW. Decay acts on the projections and the head only.", &RunConfig::optimizer,
      {field(
           &S::lr,
           {.name = "lr", .range = above(0, 1000), .required = true, .doc = "Peak learning rate."}),
       field(&S::beta1,
             {.name = "beta1", .range = kShareBelowOne, .doc = "Decay of the first moment."}),
       field(&S::beta2,
             {.name = "beta2", .range = kShareBelowOne, .doc = "Decay of the second moment."}),
       field(
           &S::eps,
           {.name = "eps", .range = above(0, 1), .doc = "Added to the root of the second moment."}),
       field(&S::weight_decay, {.name = "weight_decay",
                                .range = between(0, 10),
                                .doc = "Decoupled weight decay, multiplied by the learning rate."}),
       field(&S::clip, {.name = "clip",
                        .range = between(0, 1e6),
                        .doc = "Maximum global norm of the gradients; 0: no clipping."}),
       field(&S::moments,
             {.name = "moments",
              .choices = {"f32", "bf16"},
              .doc = "Data type for storing both moments. `f32`: the same as `precision.dtype`; "
                     "`bf16`: only with `precision.dtype = \"f32\"`; rounded stochastically "
                     "(`run.seed`); saves 4 bytes per parameter."}),
       field(&S::gradients,
             {.name = "gradients",
              .choices = {"f32", "bf16"},
              .doc = "Data type for storing parameter gradients and reducing them across ranks. "
                     "`f32`: the same as `precision.dtype`; `bf16`: only with `precision.dtype = "
                     "\"f32\"`; saves 2 bytes per parameter (the head's gradient is also kept in "
                     "f32 until the loss is complete). Each micro-batch rounds them to nearest "
                     "once, so use it for steps of few micro-batches."})});
}

ConfigSchema all_sections() {
  ConfigSchema all = {run_section(), model_section(), data_section(), source_section(),
                      all_decide(Decides::course, optimizer_section())};
  for (ConfigSection& section : training_schema()) all.push_back(std::move(section));
  return all;
}

constexpr const char* kIntroduction = R"(# Configuration reference

This page is the output of `tern config reference`; do not edit it.

A run is described by one TOML file of at most 64 KiB. Every key has a place in one of the tables
below; an unknown key is an error. `--set table.key=value` on the command line overrides the file, the
last one wins; strings need no quotes there, and tables of a list are numbered from 0, as in
`--set data.source.0.path=corpora/books`. Relative paths are relative to the current
directory; `~/` is the home directory. `tern config show FILE` checks a file and prints every value with
where it came from.
)";

std::string default_text(const ConfigKey& key) {
  const auto* integer = std::get_if<std::int64_t>(&key.fallback);
  const bool none = integer && !key.range.contains(double(*integer));  // as model.hidden_size
  if (key.required) return "required";
  return none ? "" : fmt::format("`{}`", to_toml(key.fallback));
}

// the words of messages, without the article
std::string type_text(const ConfigKey& key) {
  std::string text;
  for (const std::string& choice : key.choices)
    text += fmt::format("{}`{}`", text.empty() ? "" : ", ", to_toml(choice));
  if (text.empty()) text = expectation(key);
  for (const std::string_view article : {"a ", "an "})
    if (text.starts_with(article)) text.erase(0, article.size());
  if (std::holds_alternative<Span>(key.fallback)) text = "steps or share";
  return key.unit.empty() ? text : fmt::format("{}, {}", text, key.unit);
}

}  // namespace

const ConfigSchema& schema() {
  static const ConfigSchema all = all_sections();
  return all;
}

ConfigSection ranks_section() {
  using S = RanksSection;
  constexpr double kLongest = 86'400;
  return table<S>(
      "ranks", "Several processes training one model (docs/distributed.md).", &RunConfig::ranks,
      {field(&S::start_timeout,
             {.name = "start_timeout",
              .range = between(1, kLongest),
              .unit = "s",
              .doc = "Maximum time that ranks wait for each other at the start."}),
       field(&S::timeout, {.name = "timeout",
                           .range = between(1, kLongest),
                           .unit = "s",
                           .doc = "A rank that is silent, or behind the others, for this time ends "
                                  "the run with exit code 7."}),
       field(&S::grace,
             {.name = "grace",
              .range = between(1, kLongest),
              .unit = "s",
              .doc = "Grace period before a hung process is killed, with exit code 7: after a "
                     "failure, and after a stop signal if its ranks still wait for each other."})});
}

ConfigSection parallel_section() {
  using S = ParallelSection;
  return table<S>(
      "parallel", "Division of the work between several ranks; a single rank ignores it.",
      &RunConfig::parallel,
      {field(&S::zero, {.name = "zero",
                        .range = between(0, 1),
                        .doc = "1: each rank holds and updates the latent weights and moments of "
                               "some matrices only, and the ranks exchange ternary codes. Every "
                               "rank must see the run directory. 0: every rank holds everything."}),
       field(&S::replica_check, {.name = "replica_check",
                                 .range = between(0, 1e9),
                                 .unit = "steps",
                                 .doc = "Interval at which ranks compare hashes of the tensors "
                                        "that all of them hold; 0: never."})});
}

std::string config_reference() {
  std::string text = kIntroduction;
  for (const ConfigSection& section : schema()) {
    text += fmt::format("\n## {}\n\n", header(section));
    text += section.doc + "\n\n| key | type | default | meaning |\n|---|---|---|---|\n";
    for (const ConfigKey& key : section.keys)
      text += fmt::format("| `{}` | {} | {} | {} |\n", key.name, type_text(key), default_text(key),
                          key.doc);
  }
  return text;
}

}  // namespace tern
