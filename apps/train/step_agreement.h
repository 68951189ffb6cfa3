// The agreement of all ranks between two steps: whether to stop, after a signal or at the time
// limit; whether a checkpoint was asked for; whether a rank is much slower than the others.
#pragma once

#include "apps/run/signals.h"
#include "apps/train/checkpoint_saver.h"

namespace tern {

struct StepNote {
  std::int32_t signal = 0;   // the signal that asked this rank to stop; 0: none
  std::int32_t time_up = 0;  // run.time_limit is reached
  std::int32_t save = 0;     // a checkpoint was requested
  std::int32_t padding = 0;
  double busy_seconds = 0;  // of the last step, without waiting for other ranks
};

struct StepDecision {
  std::string stop{};  // reason to stop; empty: continue
  bool save = false;
  std::string straggler{};  // a rank that was much slower, with the seconds of all
};

// A function of the notes of every rank, by rank.
StepDecision decide(const std::vector<StepNote>& notes);

// Handles signals while it lives.
class StepAgreement {
 public:
  // saver: its longest save must fit before the time limit
  StepAgreement(OpenedRun& opened, const RunDirectory* directory, TrainingReports& reports,
                const CheckpointSaver& saver);

  // By all ranks: between steps, batches of validation, and samples. next: seconds that may pass
  // before the next question. Once a stop is wanted it stays so.
  bool stop_wanted(std::int64_t step, double next);
  const std::string& stop() const { return stop_; }  // its reason; empty: none is wanted
  // True once after a checkpoint was requested, by a signal or a file.
  bool take_save_request() { return std::exchange(save_asked_, false); }
  // Of the step that the device was given last: see StepNote.
  void set_busy_seconds(double seconds) { busy_seconds_ = seconds; }

 private:
  OpenedRun& opened_;
  const RunDirectory* directory_;  // null but on rank 0
  TrainingReports& reports_;
  const CheckpointSaver& saver_;
  Signals signals_;
  std::string stop_{};
  bool save_asked_ = false;
  double busy_seconds_ = 0;
  double warned_straggler_ = -1e9;  // when
};

}  // namespace tern
