// The gates' functions for bandwidth-bound kernels.
#pragma once

#include "cuda/device.cuh"
#include "cuda/pieces.cuh"

namespace tern::cuda {

// 2^x and 1 / x as the special function unit gives them: within 2^-22 of the value
__device__ inline float approximate_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ inline float approximate_reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

constexpr float kLog2E = 1.4426950408889634f;

// Two neighbouring values to take sigmoids of; below -40, where a sigmoid is 4e-18, bf16 counts as
// -40, so that the product in sigmoid_pair cannot overflow.
__device__ inline void load_gates(float (&x)[2], const float* from) {
  load(x, from);
}
__device__ inline void load_gates(float (&x)[2], const bf16* from) {
  unsigned pair = *reinterpret_cast<const unsigned*>(from);
  asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(pair) : "r"(pair), "r"(0xc220c220u));
  x[0] = low_half(pair);
  x[1] = high_half(pair);
}

// y = sigmoid(x). As exact as f32 allows for f32 values. For bf16 values x log2(e) is off by up to
// 2^-24 |x log2(e)|, which moves the result by less than 1e-5 of it: bf16 rounds to 4e-3. The
// special function unit is a scan's second bottleneck, so two of them share one reciprocal.
template <class A>
__device__ inline void sigmoid_pair(float (&y)[2], const float (&x)[2]) {
  if constexpr (sizeof(A) == sizeof(float)) {
    y[0] = sigmoid(x[0]);
    y[1] = sigmoid(x[1]);
  } else {
    const float low = 1 + approximate_exp2(-kLog2E * x[0]);
    const float high = 1 + approximate_exp2(-kLog2E * x[1]);
    const float inverse = approximate_reciprocal(low * high);
    y[0] = inverse * high;
    y[1] = inverse * low;
  }
}

}  // namespace tern::cuda
