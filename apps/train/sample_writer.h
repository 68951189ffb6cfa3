// Samples of a training run: rank 0 continues each prompt with the weights of the present step.
#pragma once

#include "apps/train/step_agreement.h"

namespace tern {

class SampleWriter {
 public:
  SampleWriter(OpenedRun& opened, TrainingReports& reports, StepAgreement& agreement,
               Trainer& trainer);
  // By all ranks: before each prompt they agree to go on.
  void run(const TrainingState& state);

 private:
  std::optional<std::string> text_after(const std::string& prompt, const TrainingState& state);

  OpenedRun& opened_;
  TrainingReports& reports_;
  StepAgreement& agreement_;
  Trainer& trainer_;
  double longest_ = 0;  // seconds
};

}  // namespace tern
