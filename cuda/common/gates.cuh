// The gates' functions for bandwidth-bound kernels.
#pragma once

#include "cuda/common/device.cuh"
#include "cuda/common/vectors.cuh"

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
// -40, so that no product of two overflows.
__device__ inline void load_gates(float (&x)[2], const float* from) {
  load(x, from);
}
__device__ inline void load_gates(float (&x)[2], const bf16* from) {
  unsigned pair = *reinterpret_cast<const unsigned*>(from);
  asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(pair) : "r"(pair), "r"(0xc220c220u));
  x[0] = low_half(pair);
  x[1] = high_half(pair);
}

// As exact as f32 allows for f32 values. For bf16 values x log2(e) is off by up to 2^-24 |x
// log2(e)|, which moves the result by less than 1e-5 of it: bf16 rounds to 4e-3. The special
// function unit is a scan's second bottleneck, so two functions share one reciprocal. 1 - f is a
// product, never a difference.

// One step of the recurrence, h = f * h + u: f = 1 - open + open * sigmoid(f_in), u = (1 - f) *
// silu(c_in).
template <class A>
__device__ inline void gate_step(float& f, float& u, float f_in, float c_in, float open) {
  if constexpr (sizeof(A) == sizeof(float)) {
    const float closed = open * sigmoid(-f_in);
    f = 1 - closed;
    u = closed * (c_in * sigmoid(c_in));
  } else {
    const float e_f = approximate_exp2(-kLog2E * f_in);
    const float by_c = 1 + approximate_exp2(-kLog2E * c_in);
    const float product = open * e_f * approximate_reciprocal((1 + e_f) * by_c);  // (1 - f) / by_c
    f = fmaf(-product, by_c, 1);
    u = product * c_in;
  }
}

// s = sigmoid(x) of two neighbours
template <class A>
__device__ inline void sigmoid_pair(float (&s)[2], const float (&x)[2]) {
  if constexpr (sizeof(A) == sizeof(float)) {
    s[0] = sigmoid(x[0]);
    s[1] = sigmoid(x[1]);
  } else {
    const float low = 1 + approximate_exp2(-kLog2E * x[0]);
    const float high = 1 + approximate_exp2(-kLog2E * x[1]);
    const float inverse = approximate_reciprocal(low * high);
    s[0] = inverse * high;
    s[1] = inverse * low;
  }
}

// s = sigmoid(x) and closed = open * sigmoid(-x), which is 1 - f
template <class A>
__device__ inline void gate_pair(float (&s)[2], float (&closed)[2], const float (&x)[2],
                                 const float (&open)[2]) {
  if constexpr (sizeof(A) == sizeof(float)) {
    sigmoid_pair<A>(s, x);
    closed[0] = open[0] * sigmoid(-x[0]);
    closed[1] = open[1] * sigmoid(-x[1]);
  } else {
    const float low = approximate_exp2(-kLog2E * x[0]), high = approximate_exp2(-kLog2E * x[1]);
    const float inverse = approximate_reciprocal((1 + low) * (1 + high));
    s[0] = inverse * (1 + high);
    s[1] = inverse * (1 + low);
    closed[0] = open[0] * low * s[0];
    closed[1] = open[1] * high * s[1];
  }
}

}  // namespace tern::cuda
