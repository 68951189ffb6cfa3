// From the dtype of a tensor to the type a kernel is compiled for.
#pragma once

#include <cuda_bf16.h>

#include "core/kernels.h"
#include "cuda/common/check.h"

namespace tern {

template <>
struct DTypeOf<__nv_bfloat16> {
  static constexpr DType value = DType::bf16;
};

namespace cuda {

using bf16 = __nv_bfloat16;

// f.operator()<float>() or f.operator()<bf16>(); f64 exists on the CPU alone
template <class F>
void visit_real(DType t, F&& f) {
  check(t == DType::f32 || t == DType::bf16, "[cuda] expected f32 or bf16, got ", t);
  if (t == DType::f32)
    f.template operator()<float>();
  else
    f.template operator()<bf16>();
}

template <class T>
T* data_or_null(const Tensor& t) {
  return t ? t.data<T>() : nullptr;
}

// whether vectors of that many bytes may start at p
template <int bytes>
bool aligned(const void* p) {
  return reinterpret_cast<std::uintptr_t>(p) % bytes == 0;
}

// after every kernel launch
inline void launched(const char* kernel,
                     std::source_location at = std::source_location::current()) {
  cuda_check(cudaGetLastError(), kernel, at);
}

inline int blocks_for(Index n, Index per_block) {
  const Index blocks = (n + per_block - 1) / per_block;
  check(blocks < (Index(1) << 31), "[cuda] expected fewer than 2^31 blocks, got ", blocks);
  return int(blocks);
}

}  // namespace cuda
}  // namespace tern
