// What blocks of the decode kernel send one another, and the arithmetic of single numbers in it.
// (sm_90a)
#pragma once

#include "cuda/common/gates.cuh"

namespace tern::cuda::decode {

// Two values of an exchanged vector, a sum of squares, and the number of the step that made them: a
// word is complete once it has that number, since its 16 bytes are written and read together.
struct alignas(16) ExchangeWord {
  float a, b, aux;
  unsigned step;
};

__device__ inline ExchangeWord load_word(const ExchangeWord* from) {
  ExchangeWord w;
  asm volatile(
      "{.reg .b128 r; .reg .b64 l, h;\n"
      "ld.relaxed.gpu.global.b128 r, [%4];\n"
      "mov.b128 {l, h}, r; mov.b64 {%0, %1}, l; mov.b64 {%2, %3}, h;}"
      : "=f"(w.a), "=f"(w.b), "=f"(w.aux), "=r"(w.step)
      : "l"(from)
      : "memory");
  return w;
}
__device__ inline void store_word(ExchangeWord* to, const ExchangeWord& w) {
  asm volatile(
      "{.reg .b128 r; .reg .b64 l, h;\n"
      "mov.b64 l, {%1, %2}; mov.b64 h, {%3, %4}; mov.b128 r, {l, h};\n"
      "st.relaxed.gpu.global.b128 [%0], r;}" ::"l"(to),
      "f"(w.a), "f"(w.b), "f"(w.aux), "r"(w.step)
      : "memory");
}
// now, not when it is first used
__device__ inline float2 load_now(const float* from) {
  float2 v;
  asm volatile("ld.global.nc.v2.f32 {%0, %1}, [%2];" : "=f"(v.x), "=f"(v.y) : "l"(from));
  return v;
}

// the larger magnitude, or NaN; its sign is any
__device__ inline float larger(float a, float b) {
  float c;
  asm("max.NaN.xorsign.abs.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
  return c;
}
// x factor to the nearest integer in the lowest bits, halves to even, for |x factor| < 2^21
__device__ inline unsigned round_product(float x, float factor) {
  return __float_as_uint(__fmaf_rn(x, factor, 12582912.f));
}
__device__ inline float fast_sigmoid(float x) {
  return approximate_reciprocal(1.f + approximate_exp2(-kLog2E * x));
}

}  // namespace tern::cuda::decode
