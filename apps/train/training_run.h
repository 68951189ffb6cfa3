// One training run in one process, from an opened run directory to the last checkpoint: what
// happens between steps. The arithmetic is Trainer's, the looks are RunRecord's.
#pragma once

#include <optional>

#include "apps/config/load.h"
#include "apps/generate/generator.h"
#include "apps/run/pace.h"
#include "apps/run/recovery.h"
#include "apps/run/run_record.h"
#include "apps/run/signals.h"
#include "apps/train/injection.h"
#include "apps/train/memory_plan.h"
#include "apps/train/model_files.h"
#include "apps/train/training_data.h"
#include "data/checkpoint_writer.h"

namespace tern {

// What a run is made of, opened and checked before its first step.
struct RunParts {
  const LoadedConfig& loaded;
  const RunDirectory& directory;
  Console& console;
  TrainingData& data;
  const Device& device;
  const MemoryPlan& memory;
  double peak_flops = 0;  // measured, per second
  // Whether the next step is given to the device before the last one's loss is known, so that it
  // never waits for the host.
  bool runs_ahead = false;
  Injection injection{};
};

class TrainingRun {
 public:
  TrainingRun(const RunParts& parts, Trainer& trainer);

  void start_at(const TrainingState& state);  // where a resumed run goes on
  const TrainingState& state() const { return state_; }

  // Trains to the last step. Throws Fault::stopped after a signal or at the time limit, with a
  // valid checkpoint; Fault::diverged; Fault::disk if a checkpoint is required and cannot be saved;
  // Fault::internal if the device fails, once a checkpoint that is being written is on the disk.
  void run();

 private:
  // A step on its way through the device, and what is needed to report and judge it.
  struct Launched {
    PendingUpdate update;
    std::int64_t step;  // counted from 1
    std::int64_t position;
    std::vector<std::int64_t> samples;
    StepDiagnostics diagnostics;  // empty if none are due
    double begin, data_seconds;
  };
  // What must be done now that somebody sees the weights for.
  struct Due {
    bool validation, sample, save;
    bool any() const { return validation || sample || save; }
  };

  void train();  // to the last step, or until a stop is wanted

  // These return false if the run was rewound: what comes after the checkpoint never happened.
  bool train_step();
  bool settle();  // judges the last step launched
  bool judge(const Launched& launched);
  bool handle_verdict(const UpdateReport& update, const Launched& launched);

  Launched launch();
  Due what_is_due();
  void rewind(std::int64_t from);
  void finish(const std::string& why);
  std::string last_good() const;
  void report_step(const UpdateReport& update, const Launched& launched, double step_seconds);
  void report_diagnostics(std::int64_t step, const StepDiagnostics& diagnostics);
  void validate();
  void sample();
  void save();
  void collect(const std::vector<SaveResult>& finished);
  void event(std::int64_t step, const std::string& kind, const std::string& text,
             const std::vector<std::int64_t>& samples = {});
  bool stop_wanted(std::string& why) const;
  bool due(std::int64_t interval) const;
  std::int64_t tokens(std::int64_t step) const { return step * config_.batch.tokens; }
  RunSummary summary(const std::string& outcome) const;

  const RunConfig& config_;
  RunParts parts_;
  Trainer& trainer_;
  RunRecord record_;
  CheckpointWriter writer_;
  Signals signals_;
  RecoveryMachine recovery_;
  Pace pace_;
  const Schedule rate_, decay_;
  const std::int64_t steps_;
  const double memory_limit_;  // bytes; asked once, not at every step
  TrainingState state_;        // step and position: of the last step launched
  std::optional<Launched> launched_{};
  double last_end_ = 0;  // when the last judged step ended
  std::vector<std::vector<std::byte>> staging_{};
  std::int64_t saved_step_ = -1, first_bad_position_ = -1, best_step_ = 0;
  double best_loss_ = kUnknown, longest_step_ = 0, longest_save_ = 0, save_stall_ = 0;
  double started_ = monotonic_seconds();
  std::int64_t started_step_ = 0;
  double zero_share_ = kUnknown, flip_rate_ = kUnknown;
  std::string save_problem_{};
};

}  // namespace tern
