// The course of a run: the checkpoints that its present weights descend from. A start from an
// earlier one, or from another directory, abandons what is there beyond it: that is set aside under
// another name and never deleted.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "apps/run/run_directory.h"
#include "data/checkpoint/checkpoint.h"

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

}  // namespace tern
