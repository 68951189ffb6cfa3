// The ternary product on the GPU: its arguments, and what becomes of an exact integer sum. Every
// kernel that computes it goes through RowFactor, so they agree bit for bit.
#pragma once

#include "cuda/device.cuh"

namespace tern::cuda {

// y (N, O) = (q (N, I) . t (O, I)) / (row_scale (N) * scale (1)); A is float or bf16.
template <class A>
struct IntegerProduct {
  A* y;
  const std::int8_t* q;
  const float* row_scale;
  const std::int8_t* t;
  const float* scale;
  int N, O, I;
};

// f32: a true division, the bits of the CPU. bf16: a product with the reciprocal.
template <class A>
class RowFactor {
 public:
  RowFactor() = default;
  __device__ RowFactor(float row_scale, float scale) {
    const float factor = __fmul_rn(row_scale, scale);
    factor_ = std::is_same_v<A, float> ? factor : __fdiv_rn(1.0f, factor);
  }
  __device__ float operator()(float sum) const {
    return std::is_same_v<A, float> ? __fdiv_rn(sum, factor_) : __fmul_rn(sum, factor_);
  }

 private:
  float factor_;
};

}  // namespace tern::cuda
