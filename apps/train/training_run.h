// One training run from an opened run directory to the last checkpoint: the loop over steps, and
// what follows when a step's numbers are not finite. The arithmetic is Trainer's. Where there are
// several ranks, each has one and all of them do the same, but only rank 0 has a directory, writes
// and prints.
#pragma once

#include "apps/train/sample_writer.h"
#include "apps/train/validation.h"

namespace tern {

class TrainingRun {
 public:
  // rank_zero: null on the other ranks
  TrainingRun(OpenedRun& opened, RankZero* rank_zero, Trainer& trainer);
  // Updates that the moments of a new run have seen in the run that they were taken from.
  void start_adam_at(double steps);
  // Where a resumed run goes on; not called for a new one. On rank 0, or where each rank holds
  // parts of the parameters, on all.
  void start_at(const TrainingState& state);
  // Tells, on rank 0, which keys differ from those that the checkpoint was trained with.
  void note_changes(const RunConfig& before);
  // Then, on every rank: all take over weights, moments and state from rank 0, or copies of each
  // other's parts.
  void share_start();
  // Trains to the last step. Throws Fault::stopped after a signal or at the time limit, with a
  // valid checkpoint; Fault::diverged; Fault::disk if a checkpoint is required and cannot be saved;
  // Fault::internal if the device fails and Fault::communication or what another rank has announced
  // if that fails, once a checkpoint that is being written is on the disk.
  void run();

 private:
  struct Due {  // now, and the weights are read for it
    bool validation, sample, save, replicas;
    bool any() const { return validation || sample || save || replicas; }
  };

  void train();  // to the last step, or until a stop is wanted
  void finish();
  [[noreturn]] void fail_with_last_good(const Error& error);

  // These return false if the run was rewound: what comes after the checkpoint never happened.
  bool train_step();
  bool settle();  // judges the last step launched
  bool judge(const LaunchedStep& launched);
  bool handle_verdict(const UpdateReport& update, const LaunchedStep& launched);

  Recovery agreed_verdict(const UpdateReport& update);
  [[noreturn]] void give_up(std::int64_t step);
  void rewind(std::int64_t from);
  void keep_run();
  void check_replicas();  // Fault::communication, naming ranks whose copies differ
  Due what_is_due();
  double longest_until_next_step() const;
  void report_end(const std::string& kind, const std::string& outcome);

  OpenedRun& opened_;
  RankZero* rank_zero_;
  Trainer& trainer_;
  const std::int64_t steps_;
  TrainingReports reports_;
  RecoveryMachine recovery_;
  CheckpointSaver saver_;
  StepAgreement agreement_;
  Validation validation_;
  SampleWriter samples_;
  StepLauncher launcher_;
  TrainingState state_{};  // step and position: of the last step launched
  std::optional<LaunchedStep> launched_{};
  double longest_step_ = 0;
};

}  // namespace tern
