// Everything about one training run, as plain structs. The keys, defaults, ranges and descriptions
// of what a file may say are in schema.cpp; a RunConfig that load_config returned has been
// validated.
#pragma once

#include "apps/config/sections.h"

namespace tern {

struct RunConfig {
  RunSection run;
  std::string model_size = "custom";   // or the name of a published size, already applied to model
  ModelConfig model{.vocab_size = 0};  // 0: that of the data's tokenizer, see set_vocab_size
  DataSection data;
  OptimizerSection optimizer;
  ScheduleSection schedule;
  DecayScheduleSection weight_decay_schedule;
  BatchSection batch;
  Precision dtype = Precision::f32;
  Activations activations = Activations::automatic;  // of products; automatic: bf16 on GPUs
  Activations residual = Activations::automatic;     // of the stream; automatic: as activations
  BackwardProducts backward = BackwardProducts::bf16;
  Recompute recompute = Recompute::none;
  LoggingSection logging;
  CheckpointSection checkpoint;
  InitFromSection init_from;
  NumericsSection numerics;
  RanksSection ranks;
  ParallelSection parallel;
};

// optimizer steps of the run: run.steps, or as many as run.tokens needs
std::int64_t total_steps(const RunConfig& config);

// factors of optimizer.lr and of optimizer.weight_decay; Fault::usage when the lengths do not fit
Schedule learning_rate_schedule(const RunConfig& config);
Schedule weight_decay_schedule(const RunConfig& config);

}  // namespace tern
