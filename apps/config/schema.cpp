#include "apps/config/schema.h"

#include "apps/config/binding.h"
#include "layers/family.h"

namespace tern {

namespace {

constexpr NumberRange kShareBelowOne{.low = 0, .high = 1, .below_high = true};

ConfigSection run_section() {
  using S = RunSection;
  return table<S>(
      "run", "Length of the run, and the folder of its results.", &RunConfig::run,
      {field(&S::name, {.name = "name",
                        .doc = "Name of the run and of its folder: letters, digits, `.`, `_`, `-`. "
                               "Empty: the configuration file's name without its extension."}),
       field(&S::directory,
             {.name = "directory", .path = true, .doc = "The run's files go to `directory/name`."}),
       field(&S::seed, {.name = "seed",
                        .range = {.low = 0},
                        .doc = "Seed of the initial weights, the data order, the samples and the "
                               "stochastic rounding."}),
       field(&S::steps,
             {.name = "steps",
              .range = between(0, kMaxSteps),
              .unit = "steps",
              .doc = "Length of the run in optimizer steps. Give either this or `tokens`; a value "
                     "given by `--set` replaces either of them in the file."}),
       field(&S::tokens, {.name = "tokens",
                          .range = between(0, kMaxTokens),
                          .unit = "tokens",
                          .doc = "Length of the run in tokens, rounded up to whole steps."}),
       field(&S::time_limit,
             {.name = "time_limit",
              .range = between(0, 1e9),
              .unit = "s",
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
                                      .doc = "A published size sets `hidden_size` and "
                                             "`num_hidden_layers`; with `custom`, give both."})});
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
       field(&S::rms_norm_eps,
             {.name = "rms_norm_eps", .range = above(0, 1), .doc = "Added to every mean square."}),
       field(&S::quantize, {.name = "quantize",
                            .choices = {"ternary", "none"},
                            .doc = "`none` leaves weights and activations in float: the control "
                                   "experiment, which shows the cost of ternary weights."}),
       field(&S::init, {.name = "init",
                        .choices = {"reference", "normal"},
                        .doc = "`reference`: the initial values of the published code; `normal`: "
                               "every matrix N(0, 0.02)."}),
       field(&S::type, {.name = "type",
                        .choices = types,
                        .doc = "The model family, which names the mixers of a block: `hgrn_bit` is "
                               "the MatMul-free model; `cumulative_mean` is the example of "
                               "[adding a token mixer](adding_a_mixer.md)."})});
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
                             .doc = "SentencePiece `.model` file for sample texts. Empty: the "
                                    "tokenizer that prepared the data."}),
       field(&S::verify,
             {.name = "verify",
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
                        .doc = "Folder that `tern prepare` wrote."}),
       field(&S::weight, {.name = "weight",
                          .range = above(0, 1e6),
                          .doc = "Share of the training sequences, relative to other weights."}),
       field(
           &S::validation,
           {.name = "validation",
            .path = true,
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
                      optimizer_section()};
  for (ConfigSection& section : training_schema()) all.push_back(std::move(section));
  return all;
}

}  // namespace

const ConfigSchema& schema() {
  static const ConfigSchema all = all_sections();
  return all;
}

}  // namespace tern
