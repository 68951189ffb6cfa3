// A run as train() opens it, before its directory is touched: configuration, device, data, memory
// plan and the other ranks. Every rank has one, and it stays the same from the first step to the
// last.
#pragma once

#include "apps/config/load.h"
#include "apps/console/console.h"
#include "apps/run/run_directory.h"
#include "apps/system/environment.h"
#include "apps/train/fault_injection.h"
#include "apps/train/train.h"
#include "data/checkpoint/checkpoint.h"
#include "distributed/ranks.h"
#include "runtime/memory_plan.h"
#include "runtime/training_data.h"

namespace tern {

struct OpenedRun {
  // Checks everything that can be wrong, then waits for the other ranks. Throws as train() does.
  explicit OpenedRun(const TrainOptions& options);
  OpenedRun(const OpenedRun&) = delete;
  OpenedRun& operator=(const OpenedRun&) = delete;

  const TrainOptions& options;
  LoadedConfig loaded;
  const RunConfig& config = loaded.config;
  const RankInfo info;
  const Device device;
  const FaultInjection injection;
  TrainingData data;
  MemoryPlan memory{};                      // the same micro-batch on every rank
  std::filesystem::path initial_weights{};  // on rank 0, of init_from; "": none, or not needed
  std::optional<Ranks> ranks{};             // never empty after the constructor

  ControlPlane& control() { return ranks->control(); }
  FailureDetector* failure_detector() { return control().failure_detector(); }
  bool on_gpu() const { return device.facts().traits.is_gpu(); }
  std::filesystem::path directory() const;
  // Whether every rank holds, reads and saves a part of the parameters.
  bool shards_saved() const { return config.parallel.zero && info.size > 1; }
  // Whether the next step is given to the device before the last one's loss is known, so that it
  // never waits for the host.
  bool runs_ahead() const { return options.runs_ahead.value_or(on_gpu()); }
  std::int64_t tokens(std::int64_t step) const { return step * config.batch.tokens; }

  // By all ranks: they take the smallest micro-batch of all, because how a batch is split decides
  // about last bits.
  void agree_on_micro_batch();
};

// What rank 0 alone opens before the first step: the run's directory with its console and records,
// and the checkpoint to start from. The other ranks write and print nothing.
struct RankZero {
  // Fault::usage, Fault::input, Fault::disk: the directory or the checkpoint to start from cannot
  // be used. Until then a run that is there stays as it is.
  explicit RankZero(const OpenedRun& opened);

  const Environment environment;
  RunDirectory directory;
  Console console;
  const std::optional<Checkpoint> start;  // to resume from; nothing: a new run
  const std::filesystem::path weights;    // of init_from, if the run is new and has it
  std::vector<EventReport> events{};      // of the start, to be recorded
  double peak_flops = kUnknown;           // measured, per second and rank

  // Measures the peak and prints machine, model, data, memory and disk.
  void print_banner(OpenedRun& opened);
};

// By all ranks, where each saves a shard in the run's directory: checks that all see the one that
// rank 0 has made.
void require_shared_directory(OpenedRun& opened);

}  // namespace tern
