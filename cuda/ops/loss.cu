// Softmax cross entropy with its gradient written over the logits, and the sum of the losses.
#include "cuda/backend/cuda_backend.h"
#include "cuda/common/gates.cuh"
#include "cuda/common/vectors.cuh"

namespace tern {

using namespace cuda;

namespace {

constexpr int kThreads = 512;

// What one thread or block knows of a row: its maximum and the sum of exp(x - maximum).
struct RunningSum {
  float top = -INFINITY, sum = 0;

  template <int V>
  __device__ void take(const float (&x)[V]) {
    float largest = top;
    for (int i = 0; i < V; ++i) largest = Max()(largest, x[i]);
    if (largest == -INFINITY) return;
    float added = 0;
    for (int i = 0; i < V; ++i) added += expf(x[i] - largest);
    sum = sum * expf(top - largest) + added;
    top = largest;
  }
  __device__ void reduce(float* shared) {
    float largest[1] = {top};
    reduce_block(largest, shared, Max());
    float total[1] = {top == -INFINITY ? 0 : sum * expf(top - largest[0])};
    reduce_block(total, shared, Add());
    top = largest[0];
    sum = total[0];
  }
};

// A block owns a row: thread t takes vectors t, t + kThreads, ... of it. The row is read twice, the
// second time mostly from L2, and written once: 4 V bytes through memory in bf16, which bounds it.
// Sums in f32, in an order that depends on V alone.
template <class A, int V>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_row(float* losses, A* logits, const std::int32_t* targets, const float* weight,
                      bool gradient, Index columns) {
  __shared__ float shared[32];
  const Index n = blockIdx.x;
  A* row = logits + n * columns;
  const int target = targets[n];
  float x[V];
  if (target == kIgnoreIndex) {
    if (threadIdx.x == 0) losses[n] = 0;
    for (int i = 0; i < V; ++i) x[i] = 0;
    for (Index i = threadIdx.x * V; gradient && i < columns; i += kThreads * V) store(row + i, x);
    return;
  }
  RunningSum all;
  for (Index i = threadIdx.x * V; i < columns; i += kThreads * V) {
    load(x, row + i);
    all.take(x);
  }
  const float wanted = to_float(row[target]);
  all.reduce(shared);  // its barriers separate all reads of `wanted` from the writes
  if (threadIdx.x == 0) losses[n] = logf(all.sum) - (wanted - all.top);
  if (!gradient) return;
  const float factor = *weight / all.sum;
  for (Index i = threadIdx.x * V; i < columns; i += kThreads * V) {
    load(x, row + i);
    for (int k = 0; k < V; ++k)
      x[k] = expf(x[k] - all.top) * factor - (i + k == target ? *weight : 0.0f);
    store(row + i, x);
  }
}

// Rows of bf16 logits that a block holds in registers: thread t its vectors t, t + kThreads, ...
// of 8.
constexpr int kVectors = 8;
// rows that are held: shorter ones leave too much of a block idle
constexpr Index kNarrowestHeld = 8192, kWidestHeld = Index(8) * kThreads * kVectors;
constexpr std::size_t kStagedBytes = kThreads * (kVectors * sizeof(uint4) + sizeof(int));

struct HeldRows {
  float* losses;
  bf16* logits;
  const std::int32_t* targets;
  const float* weight;
  bool gradient;
  int rows, columns;  // a multiple of 8

  __device__ static int column(int piece) { return 8 * (piece * kThreads + int(threadIdx.x)); }

  // The row and its target are copied to shared memory; a thread reads only what it copied itself,
  // the target too, so no barrier guards any of it.
  __device__ void fetch(uint4* staged, int* target, int n) const {
    const bf16* const row = logits + Index(n) * columns;
#pragma unroll
    for (int i = 0; i < kVectors; ++i)
      copy_async_if<16>(n < rows && column(i) < columns, staged + i * kThreads, row + column(i));
    copy_async_if<4>(n < rows, target, targets + n);
    commit_copies();
  }
  __device__ void store(int n, int piece, uint4 x) const {
    if (column(piece) < columns)
      reinterpret_cast<uint4*>(logits + Index(n) * columns + column(0))[piece * kThreads] = x;
  }
};

// f(k, pair) for the four pairs of logits 2 k, 2 k + 1 in a piece
template <class F>
__device__ inline void each_pair(uint4& piece, F&& f) {
  f(0, piece.x), f(1, piece.y), f(2, piece.z), f(3, piece.w);
}
__device__ inline unsigned larger_pair(unsigned a, unsigned b) {  // NaN wins
  unsigned c;
  asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(c) : "r"(a), "r"(b));
  return c;
}

// The gradient of a row replaces it.
__device__ inline void write_gradient(const HeldRows& a, int n, uint4 (&x)[kVectors], float shift,
                                      float sum, int target) {
  const float weight = *a.weight, factor = weight / sum;
  const bool counts = target != kIgnoreIndex;
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const int at = target - a.column(i);  // 0 to 7: in this piece
    each_pair(x[i], [&](int k, unsigned& pair) {
      float low = factor * approximate_exp2(fmaf(low_half(pair), kLog2E, shift));
      float high = factor * approximate_exp2(fmaf(high_half(pair), kLog2E, shift));
      if (at == 2 * k) low -= weight;
      if (at == 2 * k + 1) high -= weight;
      pair = counts ? pair_of(low, high) : 0;
    });
    a.store(n, i, x[i]);
  }
}

// Block p owns rows p, p + P, ...: it holds one in registers while the next is on its way to shared
// memory. A row is read once and written once, 4 bytes a logit: bound by memory, with 2 special
// functions a logit. Sums in f32, in an order that depends on the number of columns alone.
__global__ void __launch_bounds__(kThreads, 2) cross_entropy_held(const HeldRows a) {
  extern __shared__ __align__(16) unsigned char memory[];
  __shared__ float shared[2][32], wanted;
  uint4* const staged = reinterpret_cast<uint4*>(memory) + threadIdx.x;
  int* const next_target =
      reinterpret_cast<int*>(memory + kThreads * kVectors * sizeof(uint4)) + threadIdx.x;
  constexpr unsigned kNone = 0xff80ff80u;  // two logits of minus infinity
#pragma unroll
  for (int i = 0; i < kVectors; ++i) staged[i * kThreads] = {kNone, kNone, kNone, kNone};
  a.fetch(staged, next_target, int(blockIdx.x));
  for (int n = int(blockIdx.x); n < a.rows; n += int(gridDim.x)) {
    await_copies<0>();
    const int target = *next_target;
    uint4 x[kVectors];
    unsigned top = kNone;
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      x[i] = staged[i * kThreads];
      each_pair(x[i], [&](int, unsigned pair) { top = larger_pair(top, pair); });
    }
    if (target >= 0 && target / 8 % kThreads == int(threadIdx.x))
      wanted = to_float(
          reinterpret_cast<const bf16*>(staged + target / 8 / kThreads * kThreads)[target % 8]);
    float largest[1] = {Max()(low_half(top), high_half(top))};
    reduce_block(largest, shared[0], Max());
    const float at_target = wanted;
    a.fetch(staged, next_target, n + int(gridDim.x));  // everything staged has been read
    const float shift = -kLog2E * largest[0];
    float sum[1] = {};
#pragma unroll
    for (int i = 0; i < kVectors; ++i)
      each_pair(x[i], [&](int, unsigned pair) {
        sum[0] += approximate_exp2(fmaf(low_half(pair), kLog2E, shift));
        sum[0] += approximate_exp2(fmaf(high_half(pair), kLog2E, shift));
      });
    reduce_block(sum, shared[1], Add());
    if (threadIdx.x == 0)
      a.losses[n] = target == kIgnoreIndex ? 0.0f : logf(sum[0]) - (at_target - largest[0]);
    if (a.gradient) write_gradient(a, n, x, shift, sum[0], target);
  }
}

// One block; thread t sums losses t, t + 1024, ... in f64, then the threads are added in a tree.
__global__ void __launch_bounds__(1024)
    weighted_sum(double* loss, const float* losses, Index count, const float* weight) {
  __shared__ double partial[1024];
  double sum = 0;
  for (Index n = threadIdx.x; n < count; n += 1024) sum += double(losses[n]);
  partial[threadIdx.x] = sum;
  for (int half = 512; half > 0; half /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < half) partial[threadIdx.x] += partial[threadIdx.x + half];
  }
  if (threadIdx.x == 0) *loss = partial[0] * double(*weight);
}

void launch_held(const HeldRows& rows, int resident, cudaStream_t stream) {
  cuda_check(cudaFuncSetAttribute(cross_entropy_held, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  int(kStagedBytes)),
             "[cross_entropy] shared memory");
  const int blocks = std::min(rows.rows, resident);
  cross_entropy_held<<<blocks, kThreads, kStagedBytes, stream>>>(rows);
  launched("[cross_entropy]");
}

}  // namespace

void CudaBackend::run(const CrossEntropy& a) {
  visit_real(a.logits.dtype(), [&]<class A>() {
    const Index N = a.logits.shape()[0], V = a.logits.shape()[1];
    A* logits = a.logits.data<A>();
    const bool whole = V % 8 == 0 && aligned<16>(logits);
    if constexpr (std::is_same_v<A, bf16>)
      if (whole && V >= kNarrowestHeld && V <= kWidestHeld) {
        const HeldRows rows{.losses = a.losses.data<float>(),
                            .logits = logits,
                            .targets = a.targets.data<std::int32_t>(),
                            .weight = a.weight.data<float>(),
                            .gradient = a.gradient,
                            .rows = int(N),
                            .columns = int(V)};
        return launch_held(rows, 2 * traits_.multiprocessors, stream_);
      }
    const auto kernel = whole ? cross_entropy_row<A, 8> : cross_entropy_row<A, 1>;
    kernel<<<blocks_for(N, 1), kThreads, 0, stream_>>>(a.losses.data<float>(), logits,
                                                       a.targets.data<std::int32_t>(),
                                                       a.weight.data<float>(), a.gradient, V);
    launched("[cross_entropy]");
  });
}

void CudaBackend::run(const WeightedLoss& a) {
  weighted_sum<<<1, 1024, 0, stream_>>>(a.loss.data<double>(), a.losses.data<float>(),
                                        a.losses.elements(), a.weight.data<float>());
  launched("[weighted_loss]");
}

}  // namespace tern
