// Real training steps of a configuration on random tokens, repeatable: forward, backward, AdamW,
// quantise.
#pragma once

#include "runtime/trainer.h"

namespace tern {

class TrainingStep {
 public:
  // micro_batch: sequences computed at once, as Trainer has it
  TrainingStep(Backend& backend, const RunConfig& config, Index micro_batch);
  void initialize() { trainer_.pack().initialize(1); }
  PendingUpdate run();  // is on its way when the call returns

 private:
  Trainer trainer_;
  std::vector<std::int32_t> ids_, targets_;  // of a whole step
};

}  // namespace tern
