// Ternary products and the BitLinear layer's arithmetic.   (arXiv 2406.02528, BitLinear)
#pragma once

#include "autograd/ops/quantize.h"

namespace tern {

// Integers up to 2^24 are exact in f32, codes up to 127: sums of this many products are exact.
inline constexpr Index kMaxExactInputs = (1 << 24) / 127;

// y (N, O) = dequantised x (N, I) times dequantised w (O, I) transposed; the integer sum is exact.
// With empty scales (nothing quantised) a plain matmul. y is of x's value dtype. fp8_dx: the
// gradient of x is made of dy rounded to fp8 (core/kernels/product.h), which is faster on some
// GPUs.
Var ternary_product(const QuantizedVar& x, const QuantizedVar& w, bool fp8_dx = false);

// y = ternary_product(quantise(rms_norm(x, norm_weight)), w);  x (N, I), norm_weight (I), y (N, O)
Var bit_linear(const Var& x, const Var& norm_weight, const QuantizedVar& w, double eps = 1e-6);

}  // namespace tern
