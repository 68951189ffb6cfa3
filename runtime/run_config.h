// Everything about one training run, as plain structs: a table of the configuration each
// (docs/config.md). The keys, defaults, ranges and descriptions of what a file may say are in
// apps/config/schema.cpp; a RunConfig that load_config returned has been validated.
#pragma once

#include "layers/model_config.h"
#include "optim/schedule.h"

namespace tern {

// A length of training: a number of steps, or a percentage of the run, rounded to whole steps.
struct Span {
  double amount = 0;
  bool percent = false;
  std::int64_t steps(std::int64_t total) const;
  bool operator==(const Span&) const = default;
};

enum class SchedulePreset { constant, cosine, cosine_halved, two_stage, wsd, segments };

// One segment as a file writes it; `until` counts from the start of the run.
struct SegmentEntry {
  SegmentCurve curve = SegmentCurve::constant;
  double from = 1;
  double to = 1;
  Span until{100, true};
};

struct ScheduleSection {
  SchedulePreset preset = SchedulePreset::cosine;
  Span warmup{2, true};
  double floor = 0.1;
  Span middle{50, true};
  double first_stage_end = 8.0 / 15;
  double second_stage_start = 1.0 / 3;
  Span decay{20, true};
  SegmentCurve decay_curve = SegmentCurve::sqrt;
  std::vector<SegmentEntry> segments{};
};

enum class DecayPreset { constant, off_midway, segments };

struct DecayScheduleSection {
  DecayPreset preset = DecayPreset::constant;
  Span middle{50, true};
  std::vector<SegmentEntry> segments{};
};

// the segments over a run of `total` steps; Fault::usage when the lengths do not fit
Schedule make_schedule(const ScheduleSection& section, std::int64_t total);
Schedule make_schedule(const DecayScheduleSection& section, std::int64_t total);

struct RunSection {
  std::string name{};  // "": the name of the configuration file without its extension
  std::string directory = "runs";
  std::int64_t seed = 0;
  std::int64_t steps = 0;  // this or tokens, the other 0
  std::int64_t tokens = 0;
  std::int64_t time_limit = 0;  // seconds, 0: none
};

struct DataSource {
  std::string path{};
  double weight = 1;
  std::string validation{};  // "": the part that was set aside when the source was prepared
};

enum class DataOrder { shuffled, sequential };

struct DataSection {
  std::vector<DataSource> sources{};
  DataOrder order = DataOrder::shuffled;
  std::string tokenizer{};  // "": the one that the data was prepared with
  bool verify = false;      // reads every byte of it at the start
};

enum class Stored { f32, bf16 };  // f32: as the parameters

struct OptimizerSection {
  double lr = 0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  double clip = 1;  // global gradient norm, 0: no clipping
  Stored moments = Stored::f32;
  Stored gradients = Stored::f32;
};

struct BatchSection {
  std::int64_t tokens = 524'288;  // of one optimizer step, over all processes
  std::int64_t context = 2048;    // T
  std::int64_t micro_batch = 0;   // sequences, 0: chosen to fit the memory
};

enum class Precision { f32, f64 };
enum class Activations { automatic, f32, bf16 };
// Products in backward. automatic: as stored, until 8 bits are shown to cost no loss.
enum class Backward { automatic, bf16, fp8_dx, fp8 };

struct LoggingSection {
  std::int64_t interval = 10;  // steps, here and below; 0: never
  std::int64_t diagnostics_interval = 100;
  std::int64_t sample_interval = 0;
  std::vector<std::string> sample_prompts{};
  std::int64_t sample_tokens = 64;
  std::int64_t validation_interval = 0;
  std::int64_t validation_tokens = 65'536;
  bool tensorboard = false;
};

struct CheckpointSection {
  std::int64_t interval = 1000;
  std::int64_t keep_last = 2;
  std::int64_t keep_every = 0;
  bool keep_best = true;
  bool before_decay = false;  // also that of decay_begin(), for good
  bool required = false;
};

struct InitFromSection {
  std::string path{};
  bool moments = false;
  bool other_tokenizer = false;
};

struct NumericsSection {
  std::int64_t max_skipped = 8;
  std::int64_t max_rewinds = 3;
  std::int64_t skip_window = 16;
};

struct RanksSection {
  std::int64_t start_timeout = 300;  // seconds, here and below
  std::int64_t timeout = 600;
  std::int64_t grace = 60;
};

struct ParallelSection {
  std::int64_t zero = 0;           // 1: ranks own parts of the model
  std::int64_t replica_check = 0;  // every so many steps; 0: never
};

struct RunConfig {
  RunSection run{};
  std::string model_size = "custom";   // or the name of a published size, already applied to model
  ModelConfig model{.vocab_size = 0};  // 0: that of the data's tokenizer, see set_vocab_size
  DataSection data{};
  OptimizerSection optimizer{};
  ScheduleSection schedule{};
  DecayScheduleSection weight_decay_schedule{};
  BatchSection batch{};
  Precision dtype = Precision::f32;
  Activations activations = Activations::automatic;  // of products; automatic: bf16 on GPUs
  Activations residual = Activations::automatic;     // of the stream; automatic: as activations
  Backward backward = Backward::automatic;
  Recompute recompute = Recompute::none;
  LoggingSection logging{};
  CheckpointSection checkpoint{};
  InitFromSection init_from{};
  NumericsSection numerics{};
  RanksSection ranks{};
  ParallelSection parallel{};
};

// optimizer steps of the run: run.steps, or as many as run.tokens needs
// Ids of the longest sample text, prompt and all, at most: a token has at least one byte, and bos
// and the space in front may come before them.
std::int64_t sample_positions(const RunConfig& config);
std::int64_t total_steps(const RunConfig& config);
// steps before the decay of preset wsd: until there runs of any length are the same
std::int64_t decay_begin(const RunConfig& config);

// factors of optimizer.lr and of optimizer.weight_decay; Fault::usage when the lengths do not fit
Schedule learning_rate_schedule(const RunConfig& config);
Schedule weight_decay_schedule(const RunConfig& config);

// Bytes of a run's state over all ranks.
struct StateBytes {
  std::int64_t parameters = 0, gradients = 0;
  std::int64_t moments = 0;  // both of AdamW
};
StateBytes state_bytes(const RunConfig& config);

}  // namespace tern
