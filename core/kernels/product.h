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
// In which numbers the backward products are computed: of dy as it is stored, or rounded to 8-bit
// floats, for dx alone or for both.
enum class BackwardProducts { stored, fp8_dx, fp8 };
constexpr bool rounds_dx(BackwardProducts p) {
  return p != BackwardProducts::stored;
}
constexpr bool rounds_dw(BackwardProducts p) {
  return p == BackwardProducts::fp8;
}

// What norm_quantize makes a consumer's codes of, and gated_norm_quantize
// (core/kernels/quantize.h): of g, h and g_weight.
struct NormedRows {
  Tensor sum{};     // (N, I) real; or g
  Tensor gate{};    // h (N, I) real, or empty
  Tensor rstd{};    // (N, 2) real
  Tensor block{};   // (I) real: the block's weight or none, or g_weight
  Tensor weight{};  // (I) real
};

// Straight-through: dx = dy . (t / scale) is the gradient of the dequantised x,
// dw = dy^T . (q / row_scale) that of the latent weight.
//
// With fp8_dx the dy of dx (not that of dw) is rounded, row by row, to c f with c = e4m3(dy r),
// f = 1 / r and r = 448 / max(absmax of the row, 1e-30): 8-bit floats of 4 exponent and 3 mantissa
// bits, halves to even. A row that is not finite becomes NaN. The kernel that writes dy may supply
// them (dy_fp8): codes c and factors f of dy as stored, 0 and NaN where a row is not finite. This
// changes no bit of dx.
//
// With fp8 dw is a product of 8-bit floats too, c^T . p / s with p = e4m3(q g s), where
// g = f / row_scale of each row and s is the largest power of two with 127 s max(g, 1e-30) <= 448.
// So what a row's own scale undoes is in its activations, and one number undoes the rest: s, which
// rounds nothing. A row that is not finite makes all of dw NaN.
struct TernaryProductBackward {
  Grad dx{};          // out (N, I) real
  Grad dw{};          // out (O, I) stored
  Tensor dy{};        // in  (N, O) real; empty: with fp8, dx and dy_fp8, which suffice
  Quantized x{};      // in  as in the forward pass; or, but for a dw with fp8, q (N, I) of dy's
                      // dtype, the quotients
  NormedRows x_of{};  // in  where makes_codes(): what x's codes are made of, x.q is empty then
  TernaryWeight w{};  // in  as in the forward pass, i8
  BackwardProducts backward{};
  Fp8Rows dy_fp8{};  // in  (N, O) dy in 8-bit floats; empty: computed from dy
  // out (1) f64, of dw with fp8: the share of x's elements that are not 0 and whose p is 0 or
  // subnormal, so below 2^-6; or empty
  Tensor underflow{};

  const Tensor& rows_of_dy() const { return dy ? dy : dy_fp8.codes; }  // (N, O)
  DType real() const { return dy ? dy.dtype() : dx.to.dtype(); }
};

}  // namespace tern
