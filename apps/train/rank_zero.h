// What rank 0 alone opens before the first step: the run's directory with its console and records,
// and the checkpoint to start from. The other ranks write and print nothing.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "apps/console/console.h"
#include "apps/run/run_directory.h"
#include "apps/system/environment.h"
#include "apps/train/opened_run.h"
#include "data/checkpoint/checkpoint.h"

namespace tern {

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
