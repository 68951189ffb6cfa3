// One training run from an opened run directory to the last checkpoint: what happens between steps.
// The arithmetic is Trainer's, the looks are RunRecord's. Where there are several ranks, each has
// one and all of them do the same, but only rank 0 has a directory, writes and prints.
#pragma once

#include <optional>

#include "apps/run/gpu_monitor.h"
#include "apps/run/pace.h"
#include "apps/run/recovery.h"
#include "apps/run/run_record.h"
#include "apps/run/signals.h"
#include "apps/train/course.h"
#include "apps/train/run_parts.h"
#include "apps/train/step_agreement.h"
#include "data/checkpoint/writer.h"
#include "runtime/checkpoints.h"
#include "runtime/evaluate.h"
#include "runtime/generator.h"
#include "runtime/training_state.h"

namespace tern {

class TrainingRun {
 public:
  TrainingRun(const RunParts& parts, Trainer& trainer);
  // Updates that the moments of a new run have seen in the run that they were taken from.
  void start_adam_at(double steps);
  // Where a resumed run goes on; not called for a new one. On rank 0, or where each rank holds
  // parts of the parameters, on all. Then, on every rank: all take over weights, moments and state
  // from rank 0, or copies of each other's parts.
  void start_at(const TrainingState& state);
  // Tells, on rank 0, which keys differ from those that the checkpoint was trained with.
  void note_changes(const RunConfig& before);
  void share_start();
  const TrainingState& state() const { return state_; }
  // Trains to the last step. Throws Fault::stopped after a signal or at the time limit, with a
  // valid checkpoint; Fault::diverged; Fault::disk if a checkpoint is required and cannot be saved;
  // Fault::internal if the device fails and Fault::communication or what another rank has announced
  // if that fails, once a checkpoint that is being written is on the disk.
  void run();

 private:
  // A step on its way through the device, and what is needed to report and judge it.
  struct Launched {
    PendingUpdate update;
    std::int64_t step;  // counted from 1
    std::int64_t position;
    std::vector<std::int64_t> samples;
    StepDiagnostics diagnostics;            // empty if none are due
    std::unique_ptr<Timestamp> begin, end;  // by the device's clock
    double data_seconds;                    // of the host
  };
  struct Due {  // now, and the weights are read for it
    bool validation, sample, save, replicas;
    bool any() const { return validation || sample || save || replicas; }
  };

  void train();  // to the last step, or until a stop is wanted
  [[noreturn]] void fail_with_last_good(const Error& error);

  // These return false if the run was rewound: what comes after the checkpoint never happened.
  bool train_step();
  bool settle();  // judges the last step launched
  bool judge(const Launched& launched);
  void keep_run();
  UpdateReport report_of(const PendingUpdate& update);  // waits for it
  bool handle_verdict(const UpdateReport& update, const Launched& launched);

  Launched launch();
  Due what_is_due();
  HostBatch own_share(const TrainingBatch& batch) const;
  Recovery agreed_verdict(const UpdateReport& update);
  void rewind(std::int64_t from);
  std::filesystem::path newest_checkpoint(std::int64_t from) const;  // on rank 0
  TrainingState restore(const std::filesystem::path& path);
  void share_weights();
  TrainingState from_first(const TrainingState& state);  // rank 0's
  void finish(const std::string& why);
  std::string last_good() const;
  void report_step(const UpdateReport& update, const Launched& launched, double step_seconds);
  void report_diagnostics(std::int64_t step, const StepDiagnostics& diagnostics);
  void warn_at_start();
  void validate();
  bool validate(const ValidationSet& set, LossSum& sum);  // false: broken off
  void sample();
  std::optional<std::string> sample_text(const std::string& prompt);
  void check_replicas();  // Fault::communication, naming ranks whose copies differ
  [[noreturn]] void end_with_first(Fault fault, const std::string& why);
  void save();
  void save_or_postpone();  // by all ranks
  void save_together();     // by all ranks
  bool finite_tensors();    // of all ranks that write
  void find_best();
  bool saving_best() const;  // whether what is being saved is better than what has been
  bool begin_save();         // by all ranks; false: it has failed
  void poll_saves(bool wait);
  void complete_save(const SaveResult& own);
  void collect(const std::vector<SaveResult>& finished);
  void event(std::int64_t step, const std::string& kind, const std::string& text,
             const std::vector<std::int64_t>& samples = {});
  // next: seconds that may pass before the next question
  bool stop_wanted(std::string& why, double next);
  double longest_until_next_step() const;
  template <class Report>
  void record(const Report& report) {
    if (record_) record_->add(report);
  }
  bool due(std::int64_t interval) const;
  std::int64_t tokens(std::int64_t step) const { return step * config_.batch.tokens; }
  RunSummary summary(const std::string& outcome) const;
  std::string how_to_resume() const;
  std::vector<std::string> next_commands(const std::string& checkpoint) const;

  const RunConfig& config_;
  RunParts parts_;
  Trainer& trainer_;
  std::optional<RunRecord> record_{};         // on rank 0
  std::optional<CheckpointWriter> writer_{};  // on rank 0, or of all ranks together
  std::optional<CheckpointFacts> saving_{};   // by all ranks: on its way
  std::optional<SaveResult> saved_{};         // this rank's shard of it, once that is on the disk
  Signals signals_;
  RecoveryMachine recovery_;
  Pace pace_;
  const Schedule rate_, decay_;
  const std::int64_t steps_;
  const double memory_limit_;                // bytes; asked once, not at every step
  std::optional<GpuMonitor> gpu_monitor_{};  // on rank 0, on a GPU
  GpuReadings gpu_{};                        // over the last log interval
  TrainingState state_;                      // step and position: of the last step launched
  std::optional<Launched> launched_{};
  std::int64_t saved_step_ = -1;
  std::optional<BestSaved> best_saved_{};  // on rank 0, with checkpoint.keep_best
  double saving_loss_ = kUnknown;          // validation loss of the step that is being saved
  double longest_step_ = 0, longest_save_ = 0, save_stall_ = 0;
  double longest_validation_ = 0, longest_batch_ = 0, longest_sample_ = 0;
  double started_ = monotonic_seconds(), warned_straggler_ = -1e9;  // when
  std::int64_t started_step_ = 0;
  double zero_share_ = kUnknown, flip_rate_ = kUnknown;
  double busy_seconds_ = 0;  // of the last step given to the device
  bool save_asked_ = false, save_postponed_ = false;
  bool broken_ = false;  // weights or moments are not finite
  std::string save_problem_{};
  std::string stop_{};  // why, once all ranks have agreed on a stop
};

}  // namespace tern
