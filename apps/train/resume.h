// Where a run starts: from nothing, from its own checkpoint, or from another run's weights.
#pragma once

#include <optional>
#include <string>

#include "apps/config/load.h"
#include "apps/console/console.h"
#include "apps/run/run_directory.h"
#include "apps/train/train.h"
#include "runtime/checkpoints.h"
#include "runtime/training_data.h"

namespace tern {

// What --resume asks of the run directory. Fault::usage for --resume together with --overwrite.
Existing existing_for(const TrainOptions& options);

// What makes this configuration another run than the one that a config.resolved.toml was written
// for, in one line; "" if it is the same. Paths, logging, checkpoints, limits of time and memory
// may differ; rates, schedules and the length may when --resume asks for it.
std::string other_run(const std::string& saved, const std::string& where, const RunConfig& config);

// The checkpoint that the run goes on from. "auto" or "": the newest good one of its course, and a
// warning for each newer one with the reason; nothing if there never was one, Fault::input if there
// are some and none is good. A path: that one, and Fault::input if it is not good. "none": nothing.
std::optional<Checkpoint> find_start(const TrainOptions& options, const RunDirectory& directory,
                                     Console& console);

// Fault::input with every key that makes this configuration another run than the checkpoint's.
void require_same_run(const Checkpoint& checkpoint, const RunConfig& config);
// Fault::input if the tokenizer or the data are not those that the checkpoint's run read.
void require_same_data(const Checkpoint& checkpoint, const TrainingData& data);

// A line if the checkpoint's run took other measured algorithms: going on is as good, but not to
// the bit what the run would have done.
void warn_of_other_algorithms(const Checkpoint& checkpoint, const std::string& algorithms_hash,
                              Console& console);

}  // namespace tern
