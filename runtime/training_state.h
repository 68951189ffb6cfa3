// What a training run is made of beside tensors: in the state of a checkpoint's manifest.
#pragma once

#include "data/checkpoint/checkpoint.h"
#include "data/corpus/manifest.h"

namespace tern {

// The mean of a noisy value over about the last 1 / forget values: each counts less than the one
// after it by that share. From the first value on it is a mean of what there is.
struct RunningMean {
  double forget = 0.02;
  double sum = 0, weight = 0;

  void add(double value) {
    sum += forget * (value - sum);
    weight += forget * (1 - weight);
  }
  double value() const {  // NaN before the first
    return weight > 0 ? sum / weight : std::numeric_limits<double>::quiet_NaN();
  }
};

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// Steps without an update up to this one.
struct BadSteps {
  int in_a_row = 0;  // 0: the last step was good, and the rest means nothing
  int rewinds = 0;   // without a good checkpoint since
  std::int64_t first_step = -1, first_position = -1;
};

// What training is made of beside tensors; in the manifest's state.
struct TrainingState {
  std::int64_t step = 0;      // optimizer steps done
  std::int64_t position = 0;  // next global sample index
  double adam_steps = 0;      // updates taken: steps less the skipped ones
  std::int64_t skipped = 0;
  RunningMean loss_mean{};  // of the training loss, over steps that were applied
  BadSteps bad{};
  double best_loss = kUnknown;  // of all validations of this course; unknown: there was none
  std::int64_t best_step = 0;
  double validation_loss = kUnknown;  // at this very step
  std::string tokenizer_hash{};
  // of each source's tokens; none in checkpoints of a release that ordered samples by path
  std::vector<std::string> data_content{};
  DocumentLayout documents{};  // of the data; in checkpoints that do not say so: bos and eos
  std::string algorithms{};    // Device::algorithms_hash() of where it was trained
};

nlohmann::json to_json(const TrainingState& state);
TrainingState training_state(const nlohmann::json& state, const std::string& where);
TrainingState training_state(const Manifest& manifest, const std::string& where);

}  // namespace tern
