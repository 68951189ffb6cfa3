// The sum in columns of core/kernels/quantize.h by one block of kSumThreads threads: thread t holds
// columns 4t to 4t + 3. The bits are the CPU's for the same numbers.
#pragma once

#include "cuda/common/device.cuh"

namespace tern::cuda {

constexpr int kSumThreads = int(kSumColumns) / 4, kSumWarps = kSumThreads / 32;

struct Magnitude {
  __device__ double operator()(double x) const { return fabs(x); }
};
struct Square {
  __device__ double operator()(double x) const { return x * x; }  // exact for an f32
};
struct Identity {
  __device__ double operator()(double x) const { return x; }
};

__device__ inline double to_double(double x) {
  return x;
}
template <class T>
__device__ inline double to_double(T x) {
  return double(to_float(x));
}

// Adds f(x[i]) for i in [0, n) to the columns. vectors: x may be read four at a time; then Flight
// reads of a thread are on their way before the first is used.
template <int Flight, class T, class F>
__device__ inline void add_to_columns(double (&columns)[4], const T* x, Index n, bool vectors,
                                      F f) {
  const int rows = vectors ? int(n / (Flight * kSumColumns)) * Flight : 0;
  const T* p = x + 4 * threadIdx.x;
  for (int row = 0; row < rows; row += Flight, p += Flight * kSumColumns) {
    Packed<T, 4> four[Flight];
#pragma unroll
    for (int k = 0; k < Flight; ++k)
      four[k] = *reinterpret_cast<const Packed<T, 4>*>(p + k * kSumColumns);
#pragma unroll
    for (int k = 0; k < Flight; ++k)
#pragma unroll
      for (int v = 0; v < 4; ++v) columns[v] += f(to_double(four[k].at[v]));
  }
  for (Index i = rows * kSumColumns + 4 * threadIdx.x; i < n; i += kSumColumns)
#pragma unroll
    for (int v = 0; v < 4; ++v)
      if (i + v < n) columns[v] += f(to_double(x[i + v]));
}

// The sum of all columns, in every thread. `shared` must not be that of the call before.
__device__ inline double add_columns(const double (&columns)[4], double (&shared)[kSumWarps]) {
  double sum = (columns[0] + columns[1]) + (columns[2] + columns[3]);
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) sum += __shfl_xor_sync(kAllLanes, sum, offset);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = sum;
  __syncthreads();
  static_assert(kSumWarps == 8);
  return ((shared[0] + shared[1]) + (shared[2] + shared[3])) +
         ((shared[4] + shared[5]) + (shared[6] + shared[7]));
}

}  // namespace tern::cuda
