// The quantisers, the sums that they and the update are made of, and norms fused with quantisers.
// Halves round to even, after a true division. A row or matrix that is not finite gets a NaN scale,
// so that it cannot hide in integers.
#pragma once

#include <span>

#include "core/parameter.h"
#include "core/shape.h"

namespace tern {

// Sums over flat buffers: in f64, and in an order that depends on their sizes alone.

// A sum in columns: of kSumColumns numbers, number c adds x[c], x[c + kSumColumns], ... in order;
// then neighbours are added, x[0] + x[1], x[2] + x[3], ..., until one number is left.
inline constexpr Index kSumColumns = 1024;
// Elements of one partial sum, itself a sum in columns, of |w| and of g^2.
inline constexpr Index kSumPiece = 4 * kSumColumns, kNormPiece = 32 * kSumColumns;

constexpr Index sum_pieces(Index n, Index piece = kSumPiece) {
  return (n + piece - 1) / piece;
}

// row_scale = 127 / max(absmax of the row, 1e-5),  q = clamp(round(x * row_scale), -128, 127)
struct QuantizeRows {
  Quantized y{};  // out (N, D)
  Tensor x{};     // in  (N, D) real
};

// sums[p] = sum of |w| over piece p of kSumPiece elements, in columns
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

// Norms fused with what comes before them and with the quantisers above.
// Backward is straight-through: the gradient of the dequantised value is that of the real one. A
// backward kernel also writes in 8-bit floats, where asked, the gradient that comes from a product,
// as core/kernels/product.h says: of what it stores, so nothing may be there to add to.

// One consumer of a normalised row: its own norm weight and its own quantised copy.
// With an empty row_scale nothing is rounded and q (real) holds the normalised row itself. A real q
// with a row_scale receives the quotients, codes over row_scale, which backward reads. All
// consumers of one kernel use the same one of these three forms.
struct NormalizedRow {
  Quantized y{};    // out (N, D) i8 and (N) real; or (N, D) real, and (N) real or empty
  Tensor weight{};  // in  (D) real
};
struct NormalizedRowGrad {
  Tensor dy{};      // in  (N, D) real, gradient of the dequantised row; empty: not used
  Grad dweight{};   // out (D) stored
  Tensor weight{};  // in  (D) real
};

// sum = x + branch;  u = rms_norm(sum, block_weight);  each row: y = quantise(rms_norm(u, weight)).
// Without branch, sum is x; without block_weight, u is sum.
struct NormQuantize {
  std::span<const NormalizedRow> rows{};  // out 1 to 3, all reading the same u
  Tensor sum{};                           // out (N, D) real; empty without branch
  Tensor rstd{};                          // out (N, 2) real: of sum, of u
  Tensor x{};                             // in  (N, D) real
  Tensor branch{};                        // in  (N, D) real or empty
  Tensor block_weight{};                  // in  (D) real or empty
  double eps = 1e-6;
};
struct NormQuantizeBackward {
  Grad dx{}, dbranch{};                       // out (N, D) real, the same gradient twice
  Fp8Rows dbranch_fp8{};                      // out (N, D) or empty
  Grad dblock_weight{};                       // out (D) stored
  std::span<const NormalizedRowGrad> rows{};  // in, and out: dweight
  Tensor dsum{};                              // in  (N, D) real or empty: gradient arriving at sum
  Tensor sum{}, rstd{}, block_weight{};       // in  as in the forward pass
};

// p = rms_norm(g, g_weight) * silu(h);  y = quantise(rms_norm(p, row.weight))
struct GatedNormQuantize {
  NormalizedRow row{};  // out
  Tensor rstd{};        // out (N, 2) real: of g, of p
  Tensor g{}, h{};      // in  (N, D) real
  Tensor g_weight{};    // in  (D) real
  double eps = 1e-6;
};
struct GatedNormQuantizeBackward {
  Grad dg{}, dh{};                      // out (N, D) real
  Fp8Rows dg_fp8{};                     // out (N, D) or empty
  Grad dg_weight{};                     // out (D) stored
  NormalizedRowGrad row{};              // in, and out: dweight
  Tensor g{}, h{}, g_weight{}, rstd{};  // in  as in the forward pass
};

// p = silu(a) * b;  y = quantise(rms_norm(p, row.weight))
struct SwigluNormQuantize {
  NormalizedRow row{};  // out (N, H)
  Tensor rstd{};        // out (N) real: of p
  Tensor a{}, b{};      // in  (N, H) real each; or a (N, 2H), both side by side, and no b
  double eps = 1e-6;
};
struct SwigluNormQuantizeBackward {
  Grad da{}, db{};          // out as a, b
  Fp8Rows da_fp8{};         // out (N, 2H) or empty; empty if b is a tensor of its own
  NormalizedRowGrad row{};  // in, and out: dweight (H)
  Tensor a{}, b{}, rstd{};  // in  as in the forward pass
};

}  // namespace tern
