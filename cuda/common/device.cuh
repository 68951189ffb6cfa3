// What kernels are made of: vectors of several elements a thread, conversions, sums over a block.
#pragma once

#include <cuda_bf16.h>

#include "cuda/common/dispatch.h"

namespace tern::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

__device__ inline float to_float(float x) {
  return x;
}
__device__ inline float to_float(bf16 x) {
  return __bfloat162float(x);
}
__device__ inline float to_float(std::int8_t x) {
  return float(x);
}
template <class T>
__device__ inline T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline bf16 from_float<bf16>(float x) {
  return __float2bfloat16_rn(x);
}

// The factor that turns a code into the quotient code / row_scale. All kernels compute quotients
// with it, so that they have the same bits.
__device__ inline float quotient_factor(float row_scale) {
  return __fdiv_rn(1.0f, row_scale);
}

// V consecutive elements, loaded and stored as words of up to 16 bytes when V > 1; the address
// must then be a multiple of min(16, V * sizeof(T)).
template <class T, int V>
struct alignas(sizeof(T) * V < 16 ? sizeof(T) * V : 16) Packed {
  T at[V];
};

template <class T, int V>
__device__ inline void load(float (&to)[V], const T* from) {
  const Packed<T, V> p = *reinterpret_cast<const Packed<T, V>*>(from);
#pragma unroll
  for (int i = 0; i < V; ++i) to[i] = to_float(p.at[i]);
}
template <class T, int V>
__device__ inline void store(T* to, const float (&from)[V]) {
  Packed<T, V> p;
#pragma unroll
  for (int i = 0; i < V; ++i) p.at[i] = from_float<T>(from[i]);
  *reinterpret_cast<Packed<T, V>*>(to) = p;
}
// to = from, or to += from
template <class T, int V>
__device__ inline void put(T* to, bool add, float (&from)[V]) {
  if (add) {
    float before[V];
    load(before, to);
#pragma unroll
    for (int i = 0; i < V; ++i) from[i] += before[i];
  }
  store(to, from);
}

__device__ inline float sigmoid(float x) {
  return 1.0f / (1.0f + expf(-x));
}

// The bits of a number in an order that unsigned integers share; -0 counts as 0.
__device__ inline unsigned ordered_bits(float x) {
  const unsigned bits = __float_as_uint(x + 0.0f);  // -0 becomes 0
  return bits ^ (bits >> 31 ? 0xffffffffu : 0x80000000u);
}

struct Add {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Max {  // NaN wins, so that it cannot hide
  __device__ float operator()(float a, float b) const { return a > b || a != a ? a : b; }
};

// Reduces K values over the block's threads (a multiple of 32, at most 1024); every thread gets the
// results, in an order that depends on the block size alone. `shared` holds K * 32 floats and is
// free again after the call's last barrier: two calls in a row may use the same.
template <int K, class Op>
__device__ inline void reduce_block(float (&x)[K], float* shared, Op op) {
#pragma unroll
  for (int k = 0; k < K; ++k)
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2)
      x[k] = op(x[k], __shfl_xor_sync(kAllLanes, x[k], offset));
  const int warps = int(blockDim.x) / 32, warp = int(threadIdx.x) / 32,
            lane = int(threadIdx.x) % 32;
  if (warps == 1) return;
  __syncthreads();
  if (lane == 0)
#pragma unroll
    for (int k = 0; k < K; ++k) shared[k * 32 + warp] = x[k];
  __syncthreads();
#pragma unroll
  for (int k = 0; k < K; ++k) {
    float total = shared[k * 32];
    for (int w = 1; w < warps; ++w) total = op(total, shared[k * 32 + w]);
    x[k] = total;
  }
}

}  // namespace tern::cuda
