// Operands of the library's products of 8-bit floats (e4m3), and dy as it is rounded for them.
#pragma once

#include "cuda/dispatch.h"

namespace tern::cuda {

// Rows of dy (rows, columns) as e4m3(dy r), r = 448 / max(absmax, 1e-30), and what undoes the
// scale: 1 / r, or NaN and zeros where a row is not finite. columns: a multiple of 16.
struct RoundRows {
  std::uint8_t* to = nullptr;  // out (rows, columns) e4m3
  float* factors = nullptr;    // out (rows) 1 / r
  const bf16* dy = nullptr;    // in  (rows, columns)
  Index rows = 0, columns = 0;
};
void round_rows_fp8(const RoundRows& round, cudaStream_t stream);

// to (N, O) f32 = e4m3(dy r) (1 / r), any size; dy f32 or bf16
void round_rows_through_fp8(float* to, const Tensor& dy, cudaStream_t stream);

// The ternary weights (O, I) as e4m3, exactly and transposed, and for each of the I columns of dx
// the factor that undoes their scale. O and I: multiples of 16.
struct TransposeTernary {
  std::uint8_t* to = nullptr;      // out (I, O) e4m3
  float* factors = nullptr;        // out (I) 1 / scale
  const std::int8_t* t = nullptr;  // in  (O, I)
  const float* scale = nullptr;    // in  (1) on the device
  Index O = 0, I = 0;
};
void transpose_ternary_fp8(const TransposeTernary& transpose, cudaStream_t stream);

}  // namespace tern::cuda
