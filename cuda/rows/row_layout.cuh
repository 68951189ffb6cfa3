// How a thread block holds one row: in its threads' registers. A warp holds a contiguous stretch of
// columns and reads it in contiguous parts, a vector for each lane. Columns beyond the row read as
// zero and are never written.
#pragma once

#include "core/device_traits.h"
#include "cuda/common/device.cuh"
#include "cuda/common/vectors.cuh"

namespace tern::cuda {

// Vectors of V columns, Items of them a thread. staged: the inputs of a walk over rows are copied
// to shared memory a row ahead (cuda/rows/row_walk.cuh); it takes V > 1 and rows that fit.
template <int kV, int kItems, int kThreads, bool kStaged>
struct RowLayout {
  static constexpr int V = kV, Items = kItems, max_threads = kThreads;
  static constexpr bool staged = kStaged;
  static constexpr int step = 32 * V;  // columns from one vector of a thread to its next
  static constexpr int per_warp = step * Items;
  static constexpr Index widest = Index(per_warp) * max_threads / 32;
  // For __launch_bounds__, which are a limit of registers: 640 threads leave 96 a thread.
  static constexpr int bound = max_threads < 640 ? 640 : max_threads;
  using Row = float[Items][V];  // one thread's part

  static int threads(Index D) { return int((D + per_warp - 1) / per_warp) * 32; }
  __device__ static int column(int item) {  // of the first element of a vector
    return int(threadIdx.x / 32 * per_warp + threadIdx.x % 32 * V) + item * step;
  }
};

using ShortRow = RowLayout<4, 2, 512, true>;     // up to 4096 columns
using LongRow = RowLayout<4, 4, 512, true>;      // up to 8192
using WideRow = RowLayout<4, 8, 1024, false>;    // up to 32768: must work, may spill
using ScalarRow = RowLayout<1, 8, 1024, false>;  // any width up to 8192, any alignment
static_assert(WideRow::widest == kGpuRow && ScalarRow::widest == kGpuOddRow,
              "what plans and configurations are checked with");

// f(item, v) for every element that this thread holds
template <class L, class F>
__device__ inline void each(F&& f) {
#pragma unroll
  for (int i = 0; i < L::Items; ++i)
#pragma unroll
    for (int v = 0; v < L::V; ++v) f(i, v);
}

// D columns from `row` on; with D = 0 nothing is read, which is how a missing row reads as zero
template <class L, class T>
__device__ inline void load_words(Word<T, L::V> (&words)[L::Items], const T* row, int D) {
  const T* lane_data = row + L::column(0);
#pragma unroll
  for (int i = 0; i < L::Items; ++i) load_if(L::column(i) < D, words[i], lane_data + i * L::step);
}
template <class L, class T>
__device__ inline void load_row(typename L::Row& to, const T* row, int D) {
  Word<T, L::V> words[L::Items];
  load_words<L>(words, row, D);
#pragma unroll
  for (int i = 0; i < L::Items; ++i) unpack(to[i], words[i]);
}
template <class L, class T>
__device__ inline void pack_row(Word<T, L::V> (&words)[L::Items], const typename L::Row& from) {
#pragma unroll
  for (int i = 0; i < L::Items; ++i) pack(words[i], from[i]);
}
template <class L, class T>
__device__ inline void store_words(T* row, const Word<T, L::V> (&words)[L::Items], int D) {
  T* lane_data = row + L::column(0);
#pragma unroll
  for (int i = 0; i < L::Items; ++i) store_if(L::column(i) < D, lane_data + i * L::step, words[i]);
}
template <class L, class T>
__device__ inline void store_row(T* row, const typename L::Row& from, int D) {
  Word<T, L::V> words[L::Items];
  pack_row<L, T>(words, from);
  store_words<L>(row, words, D);
}
// x as it will be read again after store_row to T
template <class L, class T>
__device__ inline void round_row(typename L::Row& x) {
#pragma unroll
  for (int i = 0; i < L::Items; ++i) {
    Word<T, L::V> word;
    pack(word, x[i]);
    unpack(x[i], word);
  }
}

// Rows of which nothing waits for the next one: see Fp8RowGrad.
struct PromptRows {
  static constexpr int maxima = 0;
  template <class L, int Parts>
  struct Waiting {};
  template <class L, int Parts>
  __device__ void ask(const Waiting<L, Parts>&, float*) const {}
  template <class L, int Parts>
  __device__ void leave(const Waiting<L, Parts>&, int, const float*) const {}
  template <class L, int Parts>
  __device__ void leave_last(const Waiting<L, Parts>&, int, float*) const {}
};

// A gradient's rows; null: not needed.
template <class T>
struct RowGrad : PromptRows {
  RowGrad() = default;
  explicit RowGrad(const Grad& grad) : to(data_or_null<T>(grad.to)), add(grad.add) {}

  template <class L>
  __device__ void put(Index offset, const typename L::Row& from, int D) const {
    if (!to) return;
    if (!add) return store_row<L>(to + offset, from, D);
    typename L::Row sum;
    load_row<L>(sum, to + offset, D);
    each<L>([&](int i, int v) { sum[i][v] += from[i][v]; });
    store_row<L>(to + offset, sum, D);
  }
  // row n, in parts of D columns side by side
  template <class L, class... Parts>
  __device__ void put_row(Waiting<L, int(sizeof...(Parts))>&, Index n, int D,
                          const Parts&... parts) const {
    Index offset = n * int(sizeof...(Parts)) * D;
    ((put<L>(offset, parts, D), offset += D), ...);
  }

  T* to = nullptr;
  bool add = false;
};

// --- sums and maxima over a row that a thread block holds, all of them with one barrier ---

// larger of two numbers >= 0; NaN wins, so that it cannot hide
__device__ inline float larger(float a, float b) {
  float c;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
  return c;
}

// Over the warp: the largest of numbers >= 0, whose bits are ordered as they are, NaN on top.
__device__ inline float largest_of_warp(float x) {
  return __uint_as_float(__reduce_max_sync(kAllLanes, __float_as_uint(x)));
}

// Over the warp: the first Sums of x are added, the others give their largest. Every lane gets the
// same bits.
template <int Sums, int K>
__device__ inline void reduce_warp(float (&x)[K]) {
#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (k >= Sums) {
      x[k] = largest_of_warp(x[k]);
      continue;
    }
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) x[k] += __shfl_xor_sync(kAllLanes, x[k], offset);
  }
}

// Two sums for the work of one, with the bits of reduce_warp: lanes below 16 add up the first, the
// others the second.
struct SumPair {
  // over the warp
  __device__ SumPair(float first, float second)
      : sum(add((upper() ? second : first) +
                __shfl_xor_sync(kAllLanes, upper() ? first : second, 16))) {}
  // of the warps, which have put theirs side by side
  __device__ SumPair(const float* first, const float* second, unsigned warps) {
    const unsigned place = threadIdx.x % 16;
    const float* of = upper() ? second : first;
    sum = place < warps ? of[place] : 0;
    if (warps > 16) sum += place + 16 < warps ? of[place + 16] : 0;
    sum = add(sum);
  }
  __device__ static bool upper() { return threadIdx.x % 32 >= 16; }
  __device__ float first() const { return __shfl_sync(kAllLanes, sum, 0); }
  __device__ float second() const { return __shfl_sync(kAllLanes, sum, 16); }
  __device__ static float add(float x) {  // over half a warp
#pragma unroll
    for (int offset = 8; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
    return x;
  }
  float sum;
};

// The same over the block. `shared` holds K * 32 floats and must not be that of the call before.
template <int Sums, int K>
__device__ inline void reduce_row(float (&x)[K], float* shared) {
  const unsigned warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if constexpr (Sums == 2) {
    SumPair pair(x[0], x[1]);
#pragma unroll
    for (int k = Sums; k < K; ++k) x[k] = largest_of_warp(x[k]);
    if (warps > 1) {
      if (lane % 16 == 0) shared[lane / 16 * 32 + warp] = pair.sum;
      if (lane == 0)
#pragma unroll
        for (int k = Sums; k < K; ++k) shared[k * 32 + warp] = x[k];
      __syncthreads();
      pair = SumPair(shared, shared + 32, warps);
#pragma unroll
      for (int k = Sums; k < K; ++k)
        x[k] = largest_of_warp(lane < warps ? shared[k * 32 + lane] : 0);
    }
    x[0] = pair.first(), x[1] = pair.second();
  } else {
    reduce_warp<Sums>(x);
    if (warps == 1) return;
    if (lane == 0)
#pragma unroll
      for (int k = 0; k < K; ++k) shared[k * 32 + warp] = x[k];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < K; ++k) x[k] = lane < warps ? shared[k * 32 + lane] : 0;
    reduce_warp<Sums>(x);
  }
}

// Which layout a kernel over rows gets, and its launch.

// Whether rows of D elements can be read four elements at a time in all of these (or nothing).
template <class... Tensors>
bool in_fours(Index D, const Tensors&... tensors) {
  const auto one = [](const Tensor& t) {
    return !t || reinterpret_cast<std::uintptr_t>(t.raw()) % (bits(t.dtype()) / 2) == 0;
  };
  return D % 4 == 0 && (one(tensors) && ...);
}

// bytes of shared memory that a block may ask for, less a little for its fixed arrays
inline std::size_t staging_limit() {
  int device = 0, bytes = 0;
  cuda_check(cudaGetDevice(&device), "[rows] device");
  cuda_check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
             "[rows] shared memory");
  return std::size_t(bytes) - 2048;
}

// f.operator()<Layout>(): Preferred if the rows and `staging` bytes of a walk fit
template <class Preferred, class F>
void visit_layout(const char* kernel, Index D, bool fours, std::size_t staging, F&& f) {
  if (fours && D <= Preferred::widest && (staging == 0 || staging <= staging_limit()))
    return f.template operator()<Preferred>();
  if (fours && D <= WideRow::widest) return f.template operator()<WideRow>();
  check(D <= ScalarRow::widest, kernel, ": expected rows of at most ", WideRow::widest,
        " elements, or ", ScalarRow::widest,
        " where they are not multiples of four or not aligned to four, got ", D);
  f.template operator()<ScalarRow>();
}

template <class Task>
void launch_rows(const char* name, void (*kernel)(Task), const Task& task, Index blocks,
                 int threads, std::size_t staging, cudaStream_t stream) {
  if (blocks == 0) return;
  if (staging > 40 << 10)
    cuda_check(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(staging)),
        name);
  kernel<<<blocks_for(blocks, 1), threads, staging, stream>>>(task);
  launched(name);
}

}  // namespace tern::cuda
