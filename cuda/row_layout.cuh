// How a thread block holds one row: in its threads' registers. Neighbouring threads hold
// neighbouring pieces, so that every access of a warp is one contiguous stretch; columns beyond the
// row read as zero and are never written.
#pragma once

#include "cuda/device.cuh"

namespace tern::cuda {

// Pieces of V columns, Items of them a thread. staged: the inputs of a walk over rows are copied
// to shared memory a row ahead (cuda/row_walk.cuh); it takes V > 1 and rows that fit.
template <int kV, int kItems, int kThreads, bool kStaged>
struct RowLayout {
  static constexpr int V = kV, Items = kItems, max_threads = kThreads;
  static constexpr bool staged = kStaged;
  static constexpr Index widest = Index(V) * Items * max_threads;
  using Row = float[Items][V];  // one thread's part

  static int threads(Index D) {
    constexpr Index warp = 32 * V * Items;
    return int((D + warp - 1) / warp) * 32;
  }
  __device__ static int column(int item) { return (item * int(blockDim.x) + int(threadIdx.x)) * V; }
};

using ShortRow = RowLayout<4, 2, 512, true>;     // up to 4096 columns, little state for each
using LongRow = RowLayout<4, 4, 512, true>;      // up to 8192
using WideRow = RowLayout<4, 8, 1024, false>;    // up to 32768: must work, may spill
using ScalarRow = RowLayout<1, 8, 1024, false>;  // any width up to 8192, any alignment

// f(item, v) for every element that this thread holds
template <class L, class F>
__device__ inline void each(F&& f) {
#pragma unroll
  for (int i = 0; i < L::Items; ++i)
#pragma unroll
    for (int v = 0; v < L::V; ++v) f(i, v);
}

// f(item, column) for every piece of this thread that lies in the row
template <class L, class F>
__device__ inline void each_piece(int D, F&& f) {
#pragma unroll
  for (int i = 0; i < L::Items; ++i)
    if (const int column = L::column(i); column < D) f(i, column);
}

template <class L, class T>
__device__ inline void load_row(typename L::Row& to, const T* row, int D) {
  each<L>([&](int i, int v) { to[i][v] = 0; });
  each_piece<L>(D, [&](int i, int column) { load(to[i], row + column); });
}
// a weight that may be missing: ones
template <class L>
__device__ inline void load_weight(typename L::Row& to, const float* weight, int D) {
  if (weight)
    load_row<L>(to, weight, D);
  else
    each<L>([&](int i, int v) { to[i][v] = 1; });
}
template <class L, class T>
__device__ inline void store_row(T* row, const typename L::Row& from, int D) {
  each_piece<L>(D, [&](int i, int column) { store(row + column, from[i]); });
}

// Where row n of a gradient goes; null: nobody wants it.
template <class T>
struct RowGrad {
  RowGrad() = default;
  explicit RowGrad(const Grad& grad) : to(data_or_null<T>(grad.to)), add(grad.add) {}

  template <class L>
  __device__ void put(Index offset, const typename L::Row& from, int D) const {
    if (!to) return;
    each_piece<L>(D, [&](int i, int column) {
      float value[L::V];
#pragma unroll
      for (int v = 0; v < L::V; ++v) value[v] = from[i][v];
      cuda::put(to + offset + column, add, value);
    });
  }

  T* to = nullptr;
  bool add = false;
};

// larger of two numbers >= 0; NaN wins, so that it cannot hide
__device__ inline float larger(float a, float b) {
  float c;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
  return c;
}

// Over the warp: the first Sums of x are added, the others (numbers >= 0, whose bits are ordered as
// they are, NaN on top) give their largest.
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

// The same over the block, with one barrier; every thread gets the same bits. `shared` holds K * 32
// floats and must not be that of the call before.
template <int Sums, int K>
__device__ inline void reduce_row(float (&x)[K], float* shared) {
  reduce_warp<Sums>(x);
  const int warps = int(blockDim.x) / 32, warp = int(threadIdx.x) / 32,
            lane = int(threadIdx.x) % 32;
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
