// Ternary matrices, one or all of a flat buffer, from their pieces' sums of |w|.
#include <math_constants.h>

#include "cuda/backend/cuda_backend.h"
#include "cuda/update/piece_sum.cuh"

namespace tern {

using namespace cuda;

namespace {

// A block owns a piece, a thread four elements of each of its rows. 4 n bytes: bound by memory.
// f64. Reproducible, and exactly the CPU's sums.
__global__ void __launch_bounds__(kSumThreads)
    sum_pieces_of(double* sums, const float* w, Index n, bool vectors) {
  __shared__ double shared[kSumWarps];
  const Index begin = Index(blockIdx.x) * kSumPiece, left = n - begin;
  double columns[4] = {};
  add_to_columns<4>(columns, w + begin, left < kSumPiece ? left : kSumPiece, vectors, Magnitude{});
  const double sum = add_columns(columns, shared);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

struct Ternary {
  Ternary(const QuantizeTernary& a, unsigned* room)
      : w(a.w.data<float>()),
        t(a.y.t.data<std::int8_t>()),
        scales(a.y.scale.data<float>()),
        magnitudes(a.magnitudes.data<double>()),
        stats(data_or_null<double>(a.stats)),
        counts(room),
        first(data_or_null<std::int32_t>(a.layout.first)),
        matrix(data_or_null<std::int32_t>(a.layout.matrix)),
        elements(data_or_null<double>(a.layout.elements)),
        n(a.w.elements()) {}

  // pieces of matrix m, and its elements
  __device__ int begin(int m) const { return first ? first[m] : 0; }
  __device__ int end(int m) const { return first ? first[m + 1] : int(sum_pieces(n)); }
  __device__ double size(int m) const { return elements ? elements[m] : double(n); }

  const float* w;
  std::int8_t* t;
  float* scales;
  const double* magnitudes;
  double* stats;
  unsigned* counts;  // (pieces): zeros + 65536 * flips of each piece; or null
  const std::int32_t *first, *matrix;
  const double* elements;  // these three null: one matrix
  Index n;
};

// A block owns a matrix and adds its pieces' sums, 8 bytes for each 4096 elements: bound by
// latency. f64, the scale in f32. Reproducible, and exactly the CPU's scale.
__global__ void __launch_bounds__(kSumThreads) scales_of_matrices(const Ternary a) {
  __shared__ double shared[kSumWarps];
  const int m = int(blockIdx.x), begin = a.begin(m);
  const double* sums = a.magnitudes + begin;
  double columns[4] = {};
  add_to_columns<4>(columns, sums, a.end(m) - begin, std::uintptr_t(sums) % 16 == 0, Identity{});
  const double mean = add_columns(columns, shared) / a.size(m);
  if (threadIdx.x == 0)
    a.scales[m] = isfinite(mean) ? 1.0f / fmaxf(float(mean), 1e-5f) : CUDART_NAN_F;
}

// round, halves to even, and clamp; 0 for NaN
__device__ inline std::int8_t code_of(float w, float scale) {
  const float x = w * scale;
  return std::int8_t(int(x > 0.5f) - int(x < -0.5f));
}

// Element i of the buffer. Counted are zeros, and 65536 times codes that differ from those before.
__device__ inline unsigned write_code(const Ternary& a, Index i, float w, float scale) {
  const std::int8_t code = code_of(w, scale);
  const unsigned counts = a.counts ? (code == 0) + 65536u * (code != a.t[i]) : 0;
  a.t[i] = code;
  return counts;
}
// Elements [i, i + 4), as one word.
__device__ inline unsigned write_codes(const Ternary& a, Index i, const Packed<float, 4>& w,
                                       float scale) {
  auto* to = reinterpret_cast<unsigned*>(a.t + i);
  unsigned codes = 0, counts = 0;
#pragma unroll
  for (int v = 0; v < 4; ++v) codes |= unsigned(std::uint8_t(code_of(w.at[v], scale))) << 8 * v;
  if (a.counts)
    counts = unsigned(__popc(__vcmpeq4(codes, 0))) / 8 +
             unsigned(__popc(__vcmpne4(codes, *to))) / 8 * 65536u;
  *to = codes;
  return counts;
}

__device__ inline void store_counts(unsigned counts, unsigned* to) {
  __shared__ unsigned shared[kSumWarps];
  counts = __reduce_add_sync(kAllLanes, counts);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = counts;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int warp = 1; warp < kSumWarps; ++warp) counts += shared[warp];
  *to = counts;
}

// A block owns a piece, a thread four elements of each of its rows. Reads 4 bytes an element and
// writes 1, with counts it reads 1 more: bound by memory. f32, and exactly the CPU's codes for the
// scale. Reproducible.
__global__ void __launch_bounds__(kSumThreads) codes_of_pieces(const Ternary a, bool vectors) {
  constexpr int rows = int(kSumPiece / kSumColumns);
  const Index begin = Index(blockIdx.x) * kSumPiece, left = a.n - begin;
  const Index i = begin + 4 * threadIdx.x;
  unsigned counts = 0;
  if (vectors && left >= kSumPiece) {
    Packed<float, 4> w[rows];  // on their way before the scale is known
#pragma unroll
    for (int row = 0; row < rows; ++row)
      w[row] = *reinterpret_cast<const Packed<float, 4>*>(a.w + i + row * kSumColumns);
    const float scale = a.scales[a.matrix ? a.matrix[blockIdx.x] : 0];
#pragma unroll
    for (int row = 0; row < rows; ++row)
      counts += write_codes(a, i + row * kSumColumns, w[row], scale);
  } else {
    const float scale = a.scales[a.matrix ? a.matrix[blockIdx.x] : 0];
    for (Index k = threadIdx.x; k < kSumPiece && k < left; k += kSumThreads)
      counts += write_code(a, begin + k, a.w[begin + k], scale);
  }
  if (a.counts) store_counts(counts, a.counts + blockIdx.x);
}

// A block owns a matrix and adds its pieces' counts, 4 bytes each: bound by latency. Integers,
// which f64 holds. Reproducible. What follows a matrix in its last piece is zero and does not
// count.
__global__ void __launch_bounds__(kSumThreads) stats_of_matrices(const Ternary a) {
  __shared__ double zeros[kSumWarps], flips[kSumWarps];
  const int m = int(blockIdx.x), begin = a.begin(m), end = a.end(m);
  double zero[4] = {}, flipped[4] = {};
  for (int p = begin + int(threadIdx.x); p < end; p += kSumThreads) {
    zero[0] += double(a.counts[p] % 65536);
    flipped[0] += double(a.counts[p] / 65536);
  }
  const double all_zeros = add_columns(zero, zeros), all_flips = add_columns(flipped, flips);
  if (threadIdx.x != 0) return;
  const Index held = end * kSumPiece < a.n ? end * kSumPiece : a.n;
  a.stats[2 * m] = all_zeros - (double(held - begin * kSumPiece) - a.size(m));
  a.stats[2 * m + 1] = all_flips;
}

}  // namespace

void CudaBackend::run(const SumMagnitudes& a) {
  const float* w = a.w.data<float>();
  const Index n = a.w.elements();
  if (n == 0) return;
  sum_pieces_of<<<blocks_for(n, kSumPiece), kSumThreads, 0, stream_>>>(a.sums.data<double>(), w, n,
                                                                       aligned<16>(w));
  launched("[sum_magnitudes]");
}

void CudaBackend::run(const QuantizeTernary& a) {
  const Tensor memory = workspace(a);
  const Ternary task(a, memory ? static_cast<unsigned*>(memory.raw()) : nullptr);
  const int M = blocks_for(a.y.scale.elements(), 1);
  scales_of_matrices<<<M, kSumThreads, 0, stream_>>>(task);
  launched("[quantize_ternary] scales");
  codes_of_pieces<<<blocks_for(task.n, kSumPiece), kSumThreads, 0, stream_>>>(
      task, aligned<16>(task.w) && aligned<4>(task.t));
  launched("[quantize_ternary] codes");
  if (!a.stats) return;
  stats_of_matrices<<<M, kSumThreads, 0, stream_>>>(task);
  launched("[quantize_ternary] stats");
}

}  // namespace tern
