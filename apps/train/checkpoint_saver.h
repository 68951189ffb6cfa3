// The checkpoints of a training run: begun, polled and reported, by rank 0 or, where each rank
// holds parts of the parameters, by all ranks together. Keeps the saved step and the best
// checkpoint, and decides whether a failed save ends the run.
#pragma once

#include "apps/run/recovery.h"
#include "apps/train/course.h"
#include "apps/train/training_reports.h"
#include "data/checkpoint/writer.h"

namespace tern {

// Every rank has one and makes the same calls. Any of them may throw: Fault::disk if a checkpoint
// is required and cannot be saved, and what the ranks' agreement throws.
class CheckpointSaver {
 public:
  // recovery: its count of rewinds ends when a checkpoint of a healthy run is on the disk
  CheckpointSaver(OpenedRun& opened, const RunDirectory* directory, TrainingReports& reports,
                  RecoveryMachine& recovery);
  // Makes and tries the directory. Fault::disk. Once signals are handled: a file too large must
  // show as an error.
  void open();
  // The step of the checkpoint that the run goes on from; -1: none. After a rewind also
  // find_best(), and a postponed save is off.
  void continue_from(std::int64_t step);
  void find_best();  // of the checkpoints that are there

  // After a good step; after a skipped one, at the next good step.
  void save_or_postpone(Trainer& trainer, const TrainingState& state);
  // The end of the run: saves the last step unless it is saved, or the tensors are not finite.
  void save_last(Trainer& trainer, const TrainingState& state);
  // Fault::diverged, Fault::disk: that save_last() could not.
  void require_saved(std::int64_t step) const;
  // Collects saves that have ended; wait: after the one in flight.
  void poll(std::int64_t step, bool wait);
  // The same after a failure, without the other ranks.
  void wait_alone(std::int64_t step);

  bool postponed() const { return postponed_; }
  std::int64_t saved_step() const { return saved_step_; }  // -1: none
  double longest_save() const { return longest_save_; }    // seconds
  std::string last_good() const;                           // for people
  std::string path() const;  // on rank 0: of the last checkpoint; "": none

 private:
  void save(Trainer& trainer, const TrainingState& state);
  bool begin(std::int64_t step);  // by all ranks; false: it has failed
  void complete(std::int64_t step, const SaveResult& own);
  void collect(std::int64_t step, const std::vector<SaveResult>& finished);
  bool saving_best() const;  // whether what is being saved is better than what has been
  bool finite_tensors(Trainer& trainer);  // of all ranks that write

  OpenedRun& opened_;
  const RunDirectory* directory_;  // null but on rank 0
  TrainingReports& reports_;
  RecoveryMachine& recovery_;
  std::optional<CheckpointWriter> writer_{};  // on rank 0, or of all ranks together
  std::optional<CheckpointFacts> saving_{};   // by all ranks: on its way
  std::optional<SaveResult> saved_{};         // this rank's shard of it, once that is on the disk
  std::int64_t saved_step_ = -1;
  std::optional<BestSaved> best_saved_{};  // on rank 0, with checkpoint.keep_best
  double saving_loss_ = kUnknown;          // validation loss of the step that is being saved
  double longest_save_ = 0, stall_ = 0;    // seconds
  bool postponed_ = false;
  bool broken_ = false;  // weights or moments are not finite
  std::string problem_{};
};

}  // namespace tern
