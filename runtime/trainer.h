// A model in training on one backend: a step, a validation pass, text. No files, no clock, no
// decisions; the same calls on the dry backend give the plan of their memory.
#pragma once

#include "data/corpus/batches.h"
#include "layers/model.h"
#include "optim/adamw.h"
#include "runtime/run_config.h"

namespace tern {

struct LossSum {
  double loss = 0;           // nats, summed over the targets
  std::int64_t targets = 0;  // that count
  std::uint64_t bytes = 0;   // of text that they stand for, where the caller has counted them
  LossSum& operator+=(const LossSum& other) {
    loss += other.loss;
    targets += other.targets;
    bytes += other.bytes;
    return *this;
  }
};

std::int64_t count_valid(std::span<const std::int32_t> targets);

// all sequences of the batch at once; each starts from a zero state
LossSum evaluate(Model& model, const BatchView& batch, Index context);

// What a step looked like inside, by BitLinear name; gathered only when asked for.
struct StepDiagnostics {
  std::vector<TernaryStats> weights;
  std::map<std::string, double> activation_absmax;  // largest |x| before the int8 quantiser
  // share of inputs that 8-bit floats lose in the product of dw (TernaryProductBackward); with fp8
  std::map<std::string, double> fp8_underflow;
};

// What the configuration and the device make of a model's number formats. Fault::usage for what the
// device cannot do.
ModelOptions model_options(const RunConfig& config, const DeviceTraits& device);

// What makes the sum over the targets of a step their mean: of all ranks' targets.
double loss_weight(std::span<const std::int32_t> targets);

class Trainer {
 public:
  // micro_batch: sequences computed at once; ranks: as AdamWOptimizer has them
  Trainer(Backend& backend, const RunConfig& config, Index micro_batch,
          Communicator* ranks = nullptr);

  Model& model() { return model_; }
  ParameterPack& pack() { return pack_; }
  AdamWOptimizer& optimizer() { return optimizer_; }
  // whether this rank holds all parameters itself
  bool holds_all() { return pack_.shard().alone(); }

  // One optimizer step over this rank's sequences and those of the others, on its way when the call
  // returns. weight: of each target's loss, see loss_weight. If the loss or the gradient norm is
  // not finite, nothing changes and the report says so. Diagnostics are read back at once.
  PendingUpdate step(const BatchView& batch, double weight, double learning_rate,
                     double weight_decay, StepDiagnostics* diagnostics = nullptr);

 private:
  // of sequences first .. first + count - 1, one micro-batch
  void backward(const BatchView& batch, Index first, Index count, const Tensor& weight,
                StepDiagnostics* diagnostics);

  Backend& backend_;
  Index context_, micro_batch_;
  Model model_;
  ParameterPack pack_;
  AdamWOptimizer optimizer_;
};

}  // namespace tern
