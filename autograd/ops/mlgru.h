// The MatMul-free token mixer's recurrence.               (arXiv 2406.02528, section MLGRU)
#pragma once

#include "autograd/tape.h"

namespace tern {

struct MlgruOutput {
  Var h{};        // (B, T, D)
  Tensor last{};  // (B, D) h[T-1], to go on from; only if asked for
};

// f = sigmoid(f_in), with a bound f = bound + (1 - bound) f;  c = silu(c_in);
// h[t] = f[t] h[t-1] + (1 - f[t]) c[t].  f_in, c_in (B, T, D); bound (D) in [0, 1) or empty;
// initial (B, D), the state before the first step, or empty: zeros. With bf16 inputs h is bf16; the
// bound and the states are f32, and the recurrence runs in f32. recompute: h is not kept but made
// again in backward; initial must not change until then.
MlgruOutput mlgru(const Var& f_in, const Var& c_in, const Var& bound = {}, const Var& initial = {},
                  bool want_last = false, bool recompute = false);

}  // namespace tern
