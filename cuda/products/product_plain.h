// Matrix products for every size and alignment, on sm_80 and later. All matrices are row-major.
#pragma once

#include "cuda/products/blas.h"

namespace tern::cuda {

// A matrix as it is stored, f32, bf16 or i8; with row_scale the value is that of row r over
// row_scale[r], rounded to bf16 if `dequantized` is that.
struct PlainMatrix {
  const void* data = nullptr;
  DType type = DType::f32;
  const float* row_scale = nullptr;  // of codes
  DType dequantized = DType::f32;
};

// c = a b / divisor, summed in f32 in the order of K
struct PlainProduct {
  ProductShape shape{};
  void* c = nullptr;               // f32 or bf16
  DType type = DType::f32;         // of c
  bool add = false;                // add to c instead of overwriting it
  const float* divisor = nullptr;  // (1) on the device; null: 1
  PlainMatrix a{}, b{};
};
void product_plain(const PlainProduct& product, cudaStream_t stream);

}  // namespace tern::cuda
