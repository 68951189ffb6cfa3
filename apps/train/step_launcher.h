// The next step of a training run, from its batch to the work given to the device.
#pragma once

#include "apps/train/opened_run.h"
#include "runtime/trainer.h"
#include "runtime/training_state.h"

namespace tern {

// A step on its way through the device, and what is needed to report and judge it.
struct LaunchedStep {
  PendingUpdate update;
  std::int64_t step;                       // counted from 1
  std::int64_t first_sample, next_sample;  // global indices of its batch, from .. to before
  double learning_rate;
  StepDiagnostics diagnostics;            // empty if none are due
  std::unique_ptr<Timestamp> begin, end;  // by the device's clock
  double data_seconds;                    // of the host
  double busy_seconds;                    // of the host, without waiting for other ranks
};

class StepLauncher {
 public:
  StepLauncher(OpenedRun& opened, Trainer& trainer);
  // The step after state.step. Advances the state's step and position.
  LaunchedStep launch(TrainingState& state);

 private:
  BatchView own_share(const Batch& batch);
  void inject_faults(std::int64_t step, Batch& batch);

  OpenedRun& opened_;
  Trainer& trainer_;
  const Schedule rate_, decay_;
};

}  // namespace tern
