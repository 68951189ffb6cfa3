// Reports of a training run: steps, diagnostics, events and the summary, with the pace of the run
// and the readings of the GPU that go into them. Rank 0 prints and records them; the other ranks
// drop them.
#pragma once

#include "apps/run/gpu_monitor.h"
#include "apps/run/pace.h"
#include "apps/run/run_record.h"
#include "apps/train/opened_run.h"
#include "apps/train/step_launcher.h"

namespace tern {

class TrainingReports {
 public:
  // rank_zero: null on the other ranks
  TrainingReports(OpenedRun& opened, RankZero* rank_zero);
  // Opens the records. Fault::disk. Once signals are handled: a closed terminal or a file too large
  // must show as an error.
  void open();

  Pace& pace() { return pace_; }
  void started_at(std::int64_t step) { started_step_ = step; }

  template <class Report>
  void add(const Report& report) {
    if (record_) record_->add(report);
  }
  void event(std::int64_t step, const std::string& kind, const std::string& text,
             const std::vector<std::int64_t>& samples = {});
  void live(std::string_view activity);  // in the status line
  // What was asked for and cannot happen.
  void warn_at_start();
  void diagnostics(std::int64_t step, const StepDiagnostics& diagnostics);
  // state: with this step's loss in its mean, its step may be a later one; seconds: that the step
  // took
  void step(const LaunchedStep& launched, const UpdateReport& update, double seconds,
            const TrainingState& state);
  // The end: the outcome as a line of the metrics, if there is a kind for it, and the summary.
  // checkpoint: the last one; "": none
  void finish(const std::string& kind, const std::string& outcome, const TrainingState& state,
              const std::string& checkpoint, std::size_t peak_memory);

 private:
  RunSummary summary(const std::string& outcome, const TrainingState& state,
                     const std::string& checkpoint, std::size_t peak_memory) const;
  std::vector<std::string> next_commands(const std::string& checkpoint) const;

  OpenedRun& opened_;
  RankZero* rank_zero_;
  const std::int64_t steps_;
  const double memory_limit_;  // bytes; asked once, not at every step
  std::optional<RunRecord> record_{};
  std::optional<GpuMonitor> gpu_monitor_{};  // on a GPU
  GpuReadings gpu_{};                        // over the last log interval
  Pace pace_{};
  double started_ = monotonic_seconds();
  std::int64_t started_step_ = 0;
  bool stepped_ = false;
  double zero_share_ = kUnknown, flip_rate_ = kUnknown;
};

}  // namespace tern
