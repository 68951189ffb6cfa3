// The quantisers of rows and of ternary matrices.
#include "cuda/cuda_backend.h"
#include "cuda/normalized_row.cuh"
#include "cuda/row_launch.cuh"

namespace tern {

using namespace cuda;

namespace {

template <class R>
struct Rows {
  std::int8_t* q;
  float* scale;
  const R* x;
  int D;
};

// A block owns a row, a thread its Items * V columns. Reads x and writes q once, R D + D bytes:
// bound by memory. f32, and exactly the CPU's codes. Reproducible: a maximum has no order.
template <class L, class R>
__global__ void __launch_bounds__(L::bound) quantize_rows(const Rows<R> a) {
  __shared__ float shared[32];
  const Index n = blockIdx.x;
  typename L::Row x;
  load_row<L>(x, a.x + n * a.D, a.D);
  float top[1] = {};
  each<L>([&](int i, int v) { top[0] = larger(top[0], fabsf(x[i][v])); });
  reduce_row<0>(top, shared);
  const float scale = write_codes<L>(a.q + n * a.D, x, 1, top[0], a.D);
  if (threadIdx.x == 0) a.scale[n] = scale;
}

// A block owns a row, a thread every blockDim.x-th column. D + R D bytes: bound by memory. f32.
// Reproducible.
template <class R>
__global__ void dequantize_rows(R* x, const std::int8_t* q, const float* scale, int D) {
  const Index row = Index(blockIdx.x) * D;
  const float divisor = scale[blockIdx.x];
  for (int i = int(threadIdx.x); i < D; i += int(blockDim.x))
    x[row + i] = from_float<R>(to_float(q[row + i]) / divisor);
}

constexpr int kThreads = 512;  // times the 16 bytes of a thread: what four blocks keep in flight

struct Ternary {
  const float* w;
  std::int8_t* t;
  float* scale;
  double* parts;  // (P) of the sum of |w|
  Index* counts;  // (2, P): zeros, codes that differ; or null
  Index n;
};

// Sums over the block, the same bits in every thread; `shared` holds 32 numbers.
template <class T>
__device__ T sum_block(T x, T* shared) {
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
  __syncthreads();
  x = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) x += shared[warp];
  return x;
}

// f(i) for the first element of each piece of V that this thread owns: of all the grid's threads,
// every one takes one piece in turn
template <int V, class F>
__device__ void each_piece(Index n, F&& f) {
#pragma unroll 4
  for (Index i = (Index(blockIdx.x) * kThreads + threadIdx.x) * V; i < n;
       i += Index(gridDim.x) * kThreads * V)
    f(i);
}

// P blocks share the matrix. 4 n bytes: bound by memory. f64, as on the CPU. Reproducible: P
// depends on shape and device alone.
template <int V>
__global__ void __launch_bounds__(kThreads) sum_magnitudes(const Ternary a) {
  __shared__ double shared[32];
  double sum = 0;
  each_piece<V>(a.n, [&](Index i) {
    float w[V];
    load(w, a.w + i);
#pragma unroll
    for (int v = 0; v < V; ++v) sum += fabs(double(w[v]));
  });
  sum = sum_block(sum, shared);
  if (threadIdx.x == 0) a.parts[blockIdx.x] = sum;
}

// The same P blocks; each adds up all parts, in the same order. 5 n bytes, 6 n with counts: bound
// by memory. f32, the mean in f64: exactly the CPU's codes for its mean. Reproducible.
template <int V>
__global__ void __launch_bounds__(kThreads) quantize_codes(const Ternary a) {
  __shared__ double sums[32];
  __shared__ int zeros[32], flips[32];
  double sum = 0;
  for (int p = int(threadIdx.x); p < int(gridDim.x); p += kThreads) sum += a.parts[p];
  const double mean = sum_block(sum, sums) / double(a.n);
  const bool finite = isfinite(mean);
  const float scale = finite ? 1.0f / fmaxf(float(mean), 1e-5f) : CUDART_NAN_F;
  int zero = 0, flipped = 0;
  each_piece<V>(a.n, [&](Index i) {
    float w[V];
    load(w, a.w + i);
    using Codes = Packed<std::int8_t, V>;
    Codes codes, before{};
    if (a.counts) before = *reinterpret_cast<const Codes*>(a.t + i);
#pragma unroll
    for (int v = 0; v < V; ++v) {  // round, halves to even, and clamp; false for NaN
      const float x = w[v] * scale;
      codes.at[v] = std::int8_t(int(x > 0.5f) - int(x < -0.5f));
      zero += codes.at[v] == 0;
      flipped += codes.at[v] != before.at[v];
    }
    *reinterpret_cast<Codes*>(a.t + i) = codes;
  });
  if (blockIdx.x == 0 && threadIdx.x == 0) *a.scale = scale;
  if (!a.counts) return;
  zero = sum_block(zero, zeros);
  flipped = sum_block(flipped, flips);
  if (threadIdx.x != 0) return;
  a.counts[blockIdx.x] = zero;
  a.counts[gridDim.x + blockIdx.x] = flipped;
}

// One block adds P counts each of zeros and flips: bound by latency. Integers. Reproducible.
__global__ void __launch_bounds__(kThreads) write_stats(double* stats, const Index* counts, int P) {
  __shared__ long long zeros[32], flips[32];
  long long zero = 0, flipped = 0;
  for (int p = int(threadIdx.x); p < P; p += kThreads) {
    zero += counts[p];
    flipped += counts[P + p];
  }
  zero = sum_block(zero, zeros);
  flipped = sum_block(flipped, flips);
  if (threadIdx.x != 0) return;
  stats[0] = double(zero);
  stats[1] = double(flipped);
}

template <int V>
void quantize_ternary(const Ternary& task, int P, cudaStream_t stream) {
  sum_magnitudes<V><<<P, kThreads, 0, stream>>>(task);
  launched("[quantize_ternary] mean");
  quantize_codes<V><<<P, kThreads, 0, stream>>>(task);
  launched("[quantize_ternary] codes");
}

}  // namespace

void CudaBackend::run(const QuantizeRows& a) {
  const Index D = a.x.shape().last(), N = a.x.elements() / D;
  visit_real(a.x.dtype(), [&]<class R>() {
    const Rows<R> task{.q = a.y.q.data<std::int8_t>(),
                       .scale = a.y.row_scale.data<float>(),
                       .x = a.x.data<R>(),
                       .D = int(D)};
    visit_layout<LongRow>("[quantize_rows]", D, in_fours(D, a.x, a.y.q), 0, [&]<class L>() {
      launch_rows("[quantize_rows]", quantize_rows<L, R>, task, N, L::threads(D), 0, stream_);
    });
  });
}

void CudaBackend::run(const Dequantize& a) {
  const Index D = a.x.shape().last(), N = a.x.elements() / D;
  if (N == 0) return;
  visit_real(a.x.dtype(), [&]<class R>() {
    dequantize_rows<<<blocks_for(N, 1), kThreads, 0, stream_>>>(
        a.x.data<R>(), a.y.q.data<std::int8_t>(), a.y.row_scale.data<float>(), int(D));
    launched("[dequantize]");
  });
}

void CudaBackend::run(const QuantizeTernary& a) {
  const Index n = a.w.elements(), P = mean_parts(n, traits_);
  const Tensor memory = workspace(a);
  auto* parts = static_cast<double*>(memory.raw());
  const Ternary task{.w = a.w.data<float>(),
                     .t = a.y.t.data<std::int8_t>(),
                     .scale = a.y.scale.data<float>(),
                     .parts = parts,
                     .counts = a.stats ? reinterpret_cast<Index*>(parts + P) : nullptr,
                     .n = n};
  if (in_fours(n, a.w, a.y.t))
    quantize_ternary<4>(task, int(P), stream_);
  else
    quantize_ternary<1>(task, int(P), stream_);
  if (!a.stats) return;
  write_stats<<<1, kThreads, 0, stream_>>>(a.stats.data<double>(), task.counts, int(P));
  launched("[quantize_ternary] stats");
}

}  // namespace tern
