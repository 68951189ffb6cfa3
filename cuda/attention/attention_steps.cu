// Causal attention of few steps after many: generation.
#include <limits>

#include "cuda/attention/attention_kernels.h"
#include "cuda/common/device.cuh"
#include "cuda/common/vectors.cuh"

namespace tern::cuda {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

constexpr int kWarps = 16;
constexpr int kAhead = 4;  // keys that a warp takes at a time

template <class A>
struct Steps {
  A* out;
  float* log_sum;
  const A *qkv, *earlier;
  Index capacity, D;
  int T, heads, d, seen;
  float factor;
};

// What a warp has seen of the keys: the channels lane V + 32 V i of the result, before the
// division.
template <int V, int Items>
struct Seen {
  float top = -kInfinity, sum = 0, out[Items][V] = {};

  __device__ void take(const float (&scores)[kAhead], const float (&values)[kAhead][Items][V]) {
    float now = top;
#pragma unroll
    for (const float s : scores) now = fmaxf(now, s);
    const float shrink = expf(top - now);
    top = now;
    sum *= shrink;
#pragma unroll
    for (int i = 0; i < Items * V; ++i) out[i / V][i % V] *= shrink;
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      const float p = expf(scores[k] - now);
      sum += p;
#pragma unroll
      for (int i = 0; i < Items * V; ++i)
        out[i / V][i % V] = fmaf(p, values[k][i / V][i % V], out[i / V][i % V]);
    }
  }
};

template <int V, int Items, class A>
__device__ inline void load_channels(float (&x)[Items][V], const A* row, bool inside, int d) {
  Word<A, V> words[Items];
#pragma unroll
  for (int i = 0; i < Items; ++i) {
    const int c = (int(threadIdx.x) % 32 + 32 * i) * V;
    load_if(inside && c < d, words[i], row + c);
  }
#pragma unroll
  for (int i = 0; i < Items; ++i) unpack(x[i], words[i]);
}

// out[channel] of the block's query, from its warps' parts in order
template <int V, int Items, class A>
__device__ inline void join(const Seen<V, Items>& own, A* out, float* log_sum, int d) {
  __shared__ float parts[kWarps][kStepChannels], tops[kWarps], sums[kWarps];
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
#pragma unroll
  for (int i = 0; i < Items * V; ++i)
    parts[warp][(lane + 32 * (i / V)) * V + i % V] = own.out[i / V][i % V];
  if (lane == 0) tops[warp] = own.top, sums[warp] = own.sum;
  __syncthreads();
  float top = tops[0], sum = 0, channel = 0;  // the first warp has seen a key
  for (int w = 1; w < kWarps; ++w) top = fmaxf(top, tops[w]);
  for (int w = 0; w < kWarps; ++w) {
    const float shrink = expf(tops[w] - top);
    sum += sums[w] * shrink;
    if (int(threadIdx.x) < d) channel += parts[w][threadIdx.x] * shrink;
  }
  if (int(threadIdx.x) < d) out[threadIdx.x] = from_float<A>(channel / sum);
  if (log_sum && threadIdx.x == 0) *log_sum = top + logf(sum);
}

// A block owns one query of one head; its warps take every 16th group of four keys, a lane some
// channels of each, with a running maximum and sum, which are joined at the end. Reads keys and
// values once for each query: latency bounds it where heads are few, memory where they are many.
// f32. Reproducible: which warp takes a key, and the order of all sums, depend on its position.
template <class A, int V, int Items>
__global__ void __launch_bounds__(32 * kWarps) attention_steps(const __grid_constant__ Steps<A> a) {
  const int t = int(blockIdx.x % unsigned(a.T)), head = int(blockIdx.x / unsigned(a.T)) % a.heads;
  const Index b = blockIdx.x / (unsigned(a.T) * unsigned(a.heads));
  const A* const own = a.qkv + b * a.T * 3 * a.D + head * a.d;
  const A* const cache = a.seen ? a.earlier + b * a.capacity * 2 * a.D + head * a.d : nullptr;
  const int keys = a.seen + t + 1, warp = int(threadIdx.x) / 32;
  float q[Items][V];
  load_channels<V, Items>(q, own + t * 3 * a.D, true, a.d);
  Seen<V, Items> seen;
  for (int first = warp * kAhead; first < keys; first += kWarps * kAhead) {
    float k[kAhead][Items][V], v[kAhead][Items][V], scores[kAhead];
#pragma unroll
    for (int n = 0; n < kAhead; ++n) {
      const int s = first + n;
      const A* const key = s < a.seen ? cache + s * 2 * a.D : own + (s - a.seen) * 3 * a.D + a.D;
      load_channels<V, Items>(k[n], key, s < keys, a.d);
      load_channels<V, Items>(v[n], key + a.D, s < keys, a.d);
    }
#pragma unroll
    for (int n = 0; n < kAhead; ++n) {
      float score = 0;
#pragma unroll
      for (int i = 0; i < Items * V; ++i) score = fmaf(q[i / V][i % V], k[n][i / V][i % V], score);
#pragma unroll
      for (int offset = 16; offset > 0; offset /= 2)
        score += __shfl_xor_sync(kAllLanes, score, offset);
      scores[n] = first + n < keys ? score * a.factor : -kInfinity;
    }
    seen.take(scores, v);
  }
  join(seen, a.out + (b * a.T + t) * a.D + head * a.d,
       a.log_sum ? a.log_sum + (b * a.heads + head) * a.T + t : nullptr, a.d);
}

}  // namespace

void attention_of_few_steps(const Attention& a, cudaStream_t stream) {
  visit_real(a.out.dtype(), [&]<class A>() {
    const Index B = a.out.shape()[0], T = a.out.shape()[1], D = a.out.shape()[2], d = D / a.heads;
    const Steps<A> task{.out = a.out.data<A>(),
                        .log_sum = data_or_null<float>(a.log_sum),
                        .qkv = a.qkv.data<A>(),
                        .earlier = data_or_null<A>(a.earlier),
                        .capacity = a.earlier ? a.earlier.shape()[1] : 0,
                        .D = D,
                        .T = int(T),
                        .heads = int(a.heads),
                        .d = int(d),
                        .seen = int(a.seen),
                        .factor = float(1 / std::sqrt(double(d)))};
    const int blocks = blocks_for(B * a.heads * T, 1);
    if (blocks == 0) return;
    constexpr int kBytes = 4 * sizeof(A);
    if (d % 4 == 0 && aligned<kBytes>(task.qkv) && aligned<kBytes>(task.earlier))
      attention_steps<A, 4, kStepChannels / 128><<<blocks, 32 * kWarps, 0, stream>>>(task);
    else
      attention_steps<A, 1, kStepChannels / 32><<<blocks, 32 * kWarps, 0, stream>>>(task);
    launched("[attention]");
  });
}

}  // namespace tern::cuda
