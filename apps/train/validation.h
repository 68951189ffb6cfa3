// The loss on the validation sets, computed by all ranks together between two steps.
#pragma once

#include "apps/train/step_agreement.h"

namespace tern {

class Validation {
 public:
  Validation(OpenedRun& opened, TrainingReports& reports, StepAgreement& agreement,
             Trainer& trainer);
  // Reports the loss and notes it in the state, with the best one so far. Between rounds of batches
  // all ranks agree to go on: a stop breaks it off without a result.
  void run(TrainingState& state);
  double longest() const { return longest_; }  // seconds, so far

 private:
  bool add_set(const ValidationSet& set, std::int64_t step, LossSum& sum);  // false: broken off

  OpenedRun& opened_;
  TrainingReports& reports_;
  StepAgreement& agreement_;
  Trainer& trainer_;
  double longest_ = 0, longest_round_ = 0;  // seconds; a round: a batch on every rank
};

}  // namespace tern
