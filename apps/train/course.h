// Where a run starts: from nothing, from its own checkpoint, or from another run's weights. And its
// course: the checkpoints that its present weights descend from. A start from an earlier one, or
// from another directory, abandons what is there beyond it: that is set aside under another name
// and never deleted.
#pragma once

#include "apps/console/console.h"
#include "apps/run/run_directory.h"
#include "apps/train/train.h"
#include "core/device_traits.h"
#include "data/checkpoint/checkpoint.h"
#include "runtime/run_config.h"
#include "runtime/training_data.h"

namespace tern {

// The newest good checkpoint of the course up to step `most`: one of the directory, else the one
// elsewhere that the course began with. Fault::input if the directory cannot be read.
NewestGood newest_of_course(const std::filesystem::path& checkpoints,
                            std::uint64_t most = std::numeric_limits<std::uint64_t>::max());

// Whether there is anything that a run might go on from: a checkpoint, or one elsewhere.
bool has_course(const std::filesystem::path& checkpoints);

// Before training goes on from `start`, wherever it lies: sets aside all checkpoints that do not
// lead to it, corrects `latest` and `best`, and removes metrics and samples of later steps. What
// was set aside, for people, or "". A process killed on the way leaves a directory that is of one
// course. Fault::disk; Fault::input for a checkpoint of the directory whose name is not that of its
// step.
std::string begin_course(const RunDirectory& directory, const Checkpoint& start);
// The same for a run from its beginning.
void begin_course(const RunDirectory& directory);

// The checkpoint of the directory whose step has the lowest validation loss, the earliest of
// several. Errors as newest_of_course().
struct BestSaved {
  std::uint64_t step = 0;
  double loss = 0;
};
std::optional<BestSaved> best_of_course(const std::filesystem::path& checkpoints);

// After a rewind to the checkpoint of step `last`: the checkpoints beyond it.
std::string abandon_after(const std::filesystem::path& checkpoints, std::uint64_t last);

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

// --- another run's checkpoint that a new run starts from (init_from): found and checked before the
// run's directory is touched ---

// Whether the run starts from init_from: it has one, and does not go on from a checkpoint of its
// own (--overwrite, --resume none, or there is none).
bool needs_initial_weights(const RunConfig& config, const TrainOptions& options);

// The directory of the checkpoint, or the Hugging Face folder, that init_from.path means, an
// absolute path without links; "" if there is no init_from. Everything in it has been read and
// compared with its hashes. Fault::input, naming what is wrong: damaged, another tokenizer unless
// init_from.other_tokenizer, tensors of other shapes.
std::filesystem::path find_initial_weights(const RunConfig& config, const DeviceTraits& device,
                                           const Tokenizer& tokenizer);

}  // namespace tern
