// The update: global norm, the decision whether to take it, AdamW. Everything that changes from
// step to step lives in StepScalars on the device, so a captured step replays with new values.
#pragma once

#include "core/kernels/quantize.h"
#include "core/parameter.h"

namespace tern {

// Elements of the (kCount) f64 tensor that the host and the update kernels share.
struct StepScalars {
  enum : int {
    learning_rate,  // in, set by the host each step
    weight_decay,   // in, set by the host each step
    clip,           // in, the largest global norm; 0: no clipping
    loss,           // in  mean loss of the step, set by backward
    norm_squared,   // out of SquaredNorm
    coefficient,    // out of DecideUpdate: factor on every gradient
    applied,        // out of DecideUpdate: 1 if loss and norm are finite, else 0
    adam_steps,     // in and out: updates taken so far; stands still on a skipped one
    kCount
  };
};

// scalars[norm_squared] = sum of g^2: of pieces of kNormPiece, and of their sums, in columns
struct SquaredNorm {
  Tensor scalars{};  // out (kCount) f64
  Tensor g{};        // in  (P) stored
};

// applied = isfinite(loss) and isfinite(norm);  coefficient = min(1, clip / (norm + 1e-6));
// adam_steps += applied
struct DecideUpdate {
  Tensor scalars{};  // in, out (kCount) f64
};

// Nothing happens unless applied. With g' = coefficient * g, s = adam_steps:
// w -= rate * decay * w;  m = b1 m + (1-b1) g';  v = b2 v + (1-b2) g'^2
// w -= rate * (m / (1-b1^s)) / (sqrt(v / (1-b2^s)) + eps)
// bf16 moments are rounded at random when stored (core/bfloat16.h); w is moved by what
// they were before.
struct AdamW {
  Tensor w{};           // in, out (n) real
  Tensor m{}, v{};      // in, out (n) real like w, or bf16 beside f32
  Tensor magnitudes{};  // out (pieces) f64: as SumMagnitudes of w after the update; or empty
  Tensor g{};           // in  (n) stored
  Tensor scalars{};     // in  (kCount) f64
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  bool weight_decay = false;  // whether weight decay applies to this range
  std::uint64_t seed = 0;     // of the rounding of bf16 moments
  Index first = 0;            // where w begins in the pack, a multiple of 4: the rounding's counter
};

}  // namespace tern
