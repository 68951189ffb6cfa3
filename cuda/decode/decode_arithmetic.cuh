// The arithmetic of a decoded token, alike in the one kernel and in the graph of kernels: the same
// operations in the same order. What could become one rounding or two is written out, so a sequence
// has the same bits by itself and among others.
#pragma once

#include "cuda/common/gates.cuh"
#include "cuda/decode/decode_kernel.h"

namespace tern::cuda::decode {

inline constexpr int kWarps = 8, kThreads = 32 * kWarps;  // that compute
inline constexpr int kMaxInputs = 3;                      // quantised rows of one stage

enum Kind : int { kGates, kOutput, kGlu, kDown, kHead, kKinds };

// Two values of an exchanged vector, a sum of squares, and the number of the step that made them: a
// word is complete once it has that number, since its 16 bytes are written and read together.
struct alignas(16) ExchangeWord {
  float a, b, aux;
  unsigned step;
};

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
// a^2 + b^2 of what the block's norm makes of two values
__device__ inline float beside_squares(float a, float b) {
  return __fadd_rn(__fmul_rn(a, a), __fmul_rn(b, b));
}

// The embedding's row at 2 word and the next, as the word that the first stage reads; norm: the
// weights (D) of the first block's.
__device__ __noinline__ inline ExchangeWord embedded(const DecodeArguments& a, int id, int word,
                                                     unsigned step) {
  const std::size_t k = std::size_t(id) * a.width + 2 * word;
  float2 v;
  if (a.table_bytes == 4) {
    v = *reinterpret_cast<const float2*>(static_cast<const float*>(a.table) + k);
  } else if (a.table_bytes == 2) {
    const unsigned two =
        *reinterpret_cast<const unsigned*>(static_cast<const std::uint16_t*>(a.table) + k);
    v = {__uint_as_float(two << 16), __uint_as_float(two & 0xffff0000u)};
  } else {
    const std::int8_t* q = static_cast<const std::int8_t*>(a.table) + k;
    const float scale = a.row_scale[id];
    v = {q[0] / scale, q[1] / scale};
  }
  const float2 n = *reinterpret_cast<const float2*>(a.first_norm + 2 * word);
  return {v.x, v.y, beside_squares(v.x * n.x, v.y * n.y), step};
}

// What a thread sees of a row that is to be quantised: W words of it, for products with P matrices.
template <int W, int P>
struct RowPart {
  float squares = 0, beside = 0;  // sums
  float top[P] = {};              // largest magnitude of what each matrix multiplies, any sign
};
// y: weights of the norms; becomes what the matrices multiply but for the norms' scale
template <int W, int P>
__device__ inline RowPart<W, P> weigh(const ExchangeWord (&w)[W], float2 (&y)[P][W]) {
  RowPart<W, P> part;
#pragma unroll
  for (int i = 0; i < W; ++i) {
    part.squares = __fmaf_rn(w[i].a, w[i].a, __fmaf_rn(w[i].b, w[i].b, part.squares));
    part.beside = __fadd_rn(part.beside, w[i].aux);
#pragma unroll
    for (int k = 0; k < P; ++k) {
      y[k][i].x *= w[i].a, y[k][i].y *= w[i].b;
      part.top[k] = larger(part.top[k], y[k][i].x), part.top[k] = larger(part.top[k], y[k][i].y);
    }
  }
  return part;
}

// of a warp; as integers, where a NaN is larger than any number
__device__ inline float top_of_warp(float top) {
  return __uint_as_float(__reduce_max_sync(~0u, __float_as_uint(top) & 0x7fffffffu));
}
// of all warps' tops
__device__ inline float top_of_row(const float (&tops)[kWarps], int lane) {
  return __uint_as_float(__reduce_max_sync(~0u, __float_as_uint(tops[lane % kWarps])));
}
__device__ inline float code_factor(float top) {
  return 127.f * approximate_reciprocal(fmaxf(top, 1e-30f));
}
// two codes, q = round(127 y / top)
__device__ inline std::uint16_t codes_of(float2 y, float factor) {
  return std::uint16_t(__byte_perm(round_product(y.x, factor), round_product(y.y, factor), 0x0040));
}

// By one warp, from {squares, beside} of each thread: 1 / (127 rms) of the values or, if twice,
// that of the two norms one after the other, the block's with `beside` first.
__device__ inline float scale_of_row(const float2 (&squares)[kThreads], float inverse_inputs,
                                     float eps, bool twice, int lane) {
  float x = 0, y = 0;
#pragma unroll
  for (int i = 0; i < kThreads / 64; ++i) {
    const float4 two = *reinterpret_cast<const float4*>(&squares[(i * 32 + lane) * 2]);
    x = __fadd_rn(x, __fadd_rn(two.x, two.z)), y = __fadd_rn(y, __fadd_rn(two.y, two.w));
  }
#pragma unroll
  for (int o = 16; o; o /= 2) {
    x = __fadd_rn(x, __shfl_xor_sync(~0u, x, o));
    y = __fadd_rn(y, __shfl_xor_sync(~0u, y, o));
  }
  float r = rsqrtf(__fmaf_rn(x, inverse_inputs, eps));
  if (twice) r *= rsqrtf(__fmaf_rn(r * r, y * inverse_inputs, eps));
  return r * (1.f / 127.f);
}

// A product: its sum of codes, exact below 2^22, times the scale.
__device__ inline float scaled(int sum, float scale) {
  return __fmul_rn(__fsub_rn(__int_as_float(sum + 0x4b400000), 12582912.f), scale);
}

// What a stage leaves of a row of its matrices: a value, and what the block's norm makes of it.
struct Left {
  float out, beside;
};
// i, f and g: the products; norm: g's; bound: of the forget gate; state: becomes the next one
__device__ inline Left leave_gates(float i, float f, float g, float norm, float bound,
                                   float& state) {
  const float closed = __fmul_rn(__fsub_rn(1, bound), fast_sigmoid(-f));
  state = __fmaf_rn(closed, __fmul_rn(i, fast_sigmoid(i)), __fmul_rn(__fsub_rn(1, closed), state));
  return {__fmul_rn(__fmul_rn(g, norm), __fmul_rn(state, fast_sigmoid(state))), g};
}
__device__ inline Left leave_glu(float gate, float value) {
  return {__fmul_rn(__fmul_rn(gate, fast_sigmoid(gate)), value), 0};
}
__device__ inline Left leave_sum(float own, float product, float norm) {
  const float out = __fadd_rn(own, product);
  return {out, __fmul_rn(out, norm)};
}

}  // namespace tern::cuda::decode
