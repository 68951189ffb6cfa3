// The gates' functions for bandwidth-bound kernels.
#pragma once

#include "cuda/device.cuh"

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

// y = sigmoid(x). As exact as f32 allows for f32 values. For bf16 values x log2(e) is off by up to
// 2^-24 |x log2(e)|, which moves the result by less than 1e-5 of it: bf16 rounds to 4e-3. The
// special function unit is a scan's second bottleneck, so two of them share one reciprocal; x below
// -40 counts as -40 (4e-18), so that the product cannot overflow.
template <class A>
__device__ inline void sigmoid_pair(float (&y)[2], const float (&x)[2]) {
  if constexpr (sizeof(A) == sizeof(float)) {
#pragma unroll
    for (int i = 0; i < 2; ++i) y[i] = sigmoid(x[i]);
  } else {
    float power[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float clamped;
      asm("max.NaN.f32 %0, %1, %2;" : "=f"(clamped) : "f"(x[i]), "f"(-40.0f));
      power[i] = 1 + approximate_exp2(-kLog2E * clamped);
    }
    const float inverse = approximate_reciprocal(power[0] * power[1]);
    y[0] = inverse * power[1];
    y[1] = inverse * power[0];
  }
}

}  // namespace tern::cuda
