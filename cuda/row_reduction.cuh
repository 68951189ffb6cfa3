// Sums and maxima over a row that a thread block holds, all of them with one barrier.
#pragma once

#include "cuda/device.cuh"

namespace tern::cuda {

// larger of two numbers >= 0; NaN wins, so that it cannot hide
__device__ inline float larger(float a, float b) {
  float c;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
  return c;
}

// Over the warp: the first Sums of x are added, the others (numbers >= 0, whose bits are ordered as
// they are, NaN on top) give their largest. Every lane gets the same bits.
template <int Sums, int K>
__device__ inline void reduce_warp(float (&x)[K]) {
#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (k >= Sums) {
      x[k] = __uint_as_float(__reduce_max_sync(kAllLanes, __float_as_uint(x[k])));
      continue;
    }
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) x[k] += __shfl_xor_sync(kAllLanes, x[k], offset);
  }
}

// The same over the block. `shared` holds K * 32 floats and must not be that of the call before.
template <int Sums, int K>
__device__ inline void reduce_row(float (&x)[K], float* shared) {
  reduce_warp<Sums>(x);
  const unsigned warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (warps == 1) return;
  if (lane == 0)
#pragma unroll
    for (int k = 0; k < K; ++k) shared[k * 32 + warp] = x[k];
  __syncthreads();
#pragma unroll
  for (int k = 0; k < K; ++k) x[k] = lane < warps ? shared[k * 32 + lane] : 0;
  reduce_warp<Sums>(x);
}

}  // namespace tern::cuda
