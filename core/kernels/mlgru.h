// The gated linear recurrence, with its gate and candidate functions folded in.
#pragma once

#include "core/parameter.h"

namespace tern {

// f = sigmoid(f_in); with a bound: f = bound + (1 - bound) * f;  c = silu(c_in)
// h[t] = f[t] * h[t-1] + (1 - f[t]) * c[t], h[-1] = initial or 0.   (arXiv 2406.02528, MLGRU)
struct Mlgru {
  Tensor h{};        // out (B, T, D) real
  Tensor last{};     // out (B, D) real, h[T-1]; may be empty
  Tensor f_in{};     // in  (B, T, D) real, forget gate before the sigmoid
  Tensor c_in{};     // in  (B, T, D) real, candidate before the SiLU
  Tensor bound{};    // in  (D) real in [0, 1), or empty
  Tensor initial{};  // in  (B, D) real, or empty
};

// With g[t] = dh[t] + f[t+1] * g[t+1] (g[T] * f[T] = dlast):
// df[t] = g[t] * (h[t-1] - c[t]),  dc[t] = g[t] * (1 - f[t]),  dinitial = f[0] * g[0],
// then through the sigmoid, the bound and the SiLU.
struct MlgruBackward {
  Grad df_in{}, dc_in{};                           // out (B, T, D) real
  Grad dbound{};                                   // out (D) real
  Grad dinitial{};                                 // out (B, D) real
  Tensor dh{};                                     // in  (B, T, D) real, or empty
  Tensor dlast{};                                  // in  (B, D) real, or empty
  Tensor h{}, f_in{}, c_in{}, bound{}, initial{};  // in  as in the forward pass
};

}  // namespace tern
