// Products of activations (N, I) with weights (O, I), both row-major: y = x w^T.
#pragma once

#include "core/parameter.h"

namespace tern {

// y = x w^T
struct Matmul {
  Tensor y{};  // out (N, O) real
  Tensor x{};  // in  (N, I) real
  Tensor w{};  // in  (O, I) real; of f32 also bf16
};
// dx = dy w,  dw = dy^T x
struct MatmulBackward {
  Grad dx{};        // out (N, I) real
  Grad dw{};        // out (O, I) stored
  Tensor dy{};      // in  (N, O) real
  Tensor x{}, w{};  // in  as in the forward pass
};

// y = (q . t) / (row_scale * scale). The sum is an integer and exact, so y has the same bits
// for every order of summation.                      (arXiv 2406.02528, BitLinear)
struct TernaryProduct {
  Tensor y{};         // out (N, O) real
  Quantized x{};      // in  (N, I) i8, row_scale (N) real
  TernaryWeight w{};  // in  (O, I) i8 or t2, scale (1) real
};
// Straight-through: dx = dy . (t / scale) is the gradient of the dequantised x,
// dw = dy^T . (q / row_scale) that of the latent weight.
//
// With fp8_dx the dy of dx (not that of dw) is rounded, row by row, to e4m3(dy r) (1 / r) with
// r = 448 / max(absmax of the row, 1e-30): 8-bit floats of 4 exponent and 3 mantissa bits, halves
// to even. A row that is not finite becomes NaN. The kernel that writes dy may supply them
// (dy_fp8): codes e4m3(dy r) and factors 1 / r of dy as stored, 0 and NaN where a row is not
// finite. This changes no bit of dx.
struct TernaryProductBackward {
  Grad dx{};          // out (N, I) real
  Grad dw{};          // out (O, I) stored
  Tensor dy{};        // in  (N, O) real
  Quantized x{};      // in  as in the forward pass; or q (N, I) of dy's dtype, the quotients
  TernaryWeight w{};  // in  as in the forward pass, i8
  bool fp8_dx = false;
  Fp8Rows dy_fp8{};  // in  (N, O) dy in 8-bit floats for fp8_dx; empty: computed from dy
};

}  // namespace tern
