// The quantisers. Halves round to even, after a true division. A row or matrix that is not finite
// gets a NaN scale, so that it cannot hide in integers.
#pragma once

#include "core/kernels/sums.h"
#include "core/parameter.h"

namespace tern {

// row_scale = 127 / max(absmax of the row, 1e-5),  q = clamp(round(x * row_scale), -128, 127)
struct QuantizeRows {
  Quantized y{};  // out (N, D)
  Tensor x{};     // in  (N, D) real
};

// sums[p] = sum of |w| over piece p of kSumPiece elements, in columns (core/kernels/sums.h)
struct SumMagnitudes {
  Tensor sums{};  // out (pieces) f64
  Tensor w{};     // in  real of any shape
};

// Where M matrices lie in a flat buffer: each begins a piece, and what follows it, up to the next,
// is zero. Tables that are made once.
struct TernaryLayout {
  Tensor first{};     // (M + 1) i32: the first piece of each matrix, and their number
  Tensor elements{};  // (M) f64: of each matrix
  Tensor matrix{};    // (pieces) i32: of each piece
};

// scale = 1 / max(mean |w|, 1e-5),  t = clamp(round(w * scale), -1, 1), for each matrix. Its mean
// is the sum in columns of its pieces' sums, over its elements.
struct QuantizeTernary {
  TernaryWeight y{};    // out t like w, scale (M); on entry the previous codes, if stats are wanted
  Tensor stats{};       // out (M, 2) f64: zeros, codes that differ from the previous ones; or empty
  Tensor w{};           // in  (pieces * kSumPiece) real, latent; or (O, I)
  Tensor magnitudes{};  // in  (pieces) f64, of SumMagnitudes or AdamW
  TernaryLayout layout{};  // in  of w's matrices; empty: w is one
};

// Ternary codes at two bits: four in a byte, the first in its lowest bits; -1 is 3.
struct PackTernary {
  Tensor packed{};  // out (n / 4) i8
  Tensor t{};       // in  (n) i8 in {-1, 0, 1}, n a multiple of 16
};
struct UnpackTernary {
  Tensor t{}, packed{};  // out (n) i8; in (n / 4) i8
};

// x = q / row_scale
struct Dequantize {
  Tensor x{};     // out (N, D) real
  Quantized y{};  // in  (N, D)
};

}  // namespace tern
