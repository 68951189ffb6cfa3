// The language-model head and its loss in chunks over rows: the logits of the batch never exist.
#pragma once

#include "autograd/ops/product.h"

namespace tern {

struct CrossEntropyOutput {
  Var loss{};       // (1) f64: weight * sum of losses
  Tensor losses{};  // (N) real, natural log; 0 where the target is kIgnoreIndex
};

// logits = ternary_product(x, w), compared with targets (N) i32, 0 <= target < V or kIgnoreIndex.
// weight (1) real: 1 / number of valid targets of the global batch. x (N, I), w (V, I).
// The gradients by x and w are computed here, chunk by chunk, for a loss gradient of 1: on a tape
// the loss is one of those that backward starts from, and no op takes it (Tape::record_loss): scale
// `weight` instead. Memory: one chunk of logits, (rows_per_chunk, V), of x's value
// dtype.
CrossEntropyOutput cross_entropy(const QuantizedVar& x, const QuantizedVar& w,
                                 const Tensor& targets, const Tensor& weight,
                                 Index rows_per_chunk = 1024);

}  // namespace tern
