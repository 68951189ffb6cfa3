// Operands of the library's products: int8 and f32 matrices as bf16. Counts are multiples of 8,
// pointers to bf16 and f32 multiples of 16, to int8 of 8.
#pragma once

#include "cuda/dispatch.h"

namespace tern::cuda {

// to = t, exactly; factors (2) = {1 / scale, add ? 1 : 0}, the library's alpha and beta
struct ExpandTernary {
  bf16* to = nullptr;              // out (count)
  float* factors = nullptr;        // out (2) on the device
  const std::int8_t* t = nullptr;  // in (count)
  const float* scale = nullptr;    // in (1) on the device
  bool add = false;
};
void expand_ternary(const ExpandTernary& expand, Index count, cudaStream_t stream);

// to (rows, columns) = q / row_scale, rounded once: the f32 quotient to bf16
void expand_rows(bf16* to, const std::int8_t* q, const float* row_scale, Index rows, Index columns,
                 cudaStream_t stream);

// to (count) = from, to nearest
void round_to_bf16(bf16* to, const float* from, Index count, cudaStream_t stream);
// to (count) += from, in f32, then to nearest
void add_to_bf16(bf16* to, const float* from, Index count, cudaStream_t stream);

}  // namespace tern::cuda
