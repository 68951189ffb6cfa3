// Softmax cross entropy on a block of rows; the gradient replaces the logits.
#pragma once

#include "core/parameter.h"

namespace tern {

inline constexpr int kIgnoreIndex = -1;  // a target that does not count

// losses[n] = log sum exp(logits[n]) - logits[n][targets[n]], natural log; 0 where ignored.
// If gradient: logits[n] = weight * (softmax(logits[n]) - onehot(targets[n])), 0 where ignored.
struct CrossEntropy {
  Tensor losses{};   // out (N) real
  Tensor logits{};   // in, and out if gradient: (N, V) real
  Tensor targets{};  // in  (N) i32, 0 <= target < V or kIgnoreIndex
  Tensor weight{};   // in  (1) real: 1 / valid targets of the global batch
  bool gradient = false;
};

// loss = weight * sum of losses, summed in f64 and in order
struct WeightedLoss {
  Tensor loss{};    // out (1) f64
  Tensor losses{};  // in  (N) real
  Tensor weight{};  // in  (1) real
};

}  // namespace tern
