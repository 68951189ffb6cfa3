// The loss of a model on token sequences, without gradients.
#pragma once

#include <cstdint>
#include <span>

#include "layers/model.h"

namespace tern {

// Token ids on the host, (sequences, T) each; targets may be kIgnoreIndex.
struct HostBatch {
  std::span<const std::int32_t> inputs, targets;
};

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
LossSum evaluate(Model& model, const HostBatch& batch, Index context);

}  // namespace tern
