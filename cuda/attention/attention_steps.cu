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
  int splits;
  float* parts;  // (query, splits, d + 2): maximum, sum of exp, sum of values; null if one split

  __device__ void write(Index query, int channel, float top, float sum, float value) const {
    const Index b = query / (Index(T) * heads), head = query / T % heads, t = query % T;
    if (channel < d) out[(b * T + t) * D + head * d + channel] = from_float<A>(value / sum);
    if (log_sum && channel == 0) log_sum[query] = top + logf(sum);  // (b, head, t)
  }
};

// what a maximum so far counts beside a later one; zero if there was nothing
__device__ inline float shrink(float before, float now) {
  return before == -kInfinity ? 0.0f : expf(before - now);
}

// What a warp has seen of the keys: the channels lane V + 32 V i of the result, before the
// division.
template <int V, int Items>
struct Seen {
  float top = -kInfinity, sum = 0, out[Items][V] = {};

  __device__ void take(const float (&scores)[kAhead], const float (&values)[kAhead][Items][V]) {
    float now = top;
#pragma unroll
    for (const float s : scores) now = fmaxf(now, s);
    const float factor = shrink(top, now);
    top = now;
    sum *= factor;
#pragma unroll
    for (int i = 0; i < Items * V; ++i) out[i / V][i % V] *= factor;
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

// A thread's channel of the block's keys, from its warps' parts in order.
template <class A, int V, int Items>
__device__ inline void join_warps(const Seen<V, Items>& own, const Steps<A>& a, Index query,
                                  int split) {
  __shared__ float parts[kWarps][kStepChannels], tops[kWarps], sums[kWarps];
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, c = int(threadIdx.x);
#pragma unroll
  for (int i = 0; i < Items * V; ++i)
    parts[warp][(lane + 32 * (i / V)) * V + i % V] = own.out[i / V][i % V];
  if (lane == 0) tops[warp] = own.top, sums[warp] = own.sum;
  __syncthreads();
  float top = tops[0], sum = 0, value = 0;
  for (int w = 1; w < kWarps; ++w) top = fmaxf(top, tops[w]);
  for (int w = 0; w < kWarps; ++w) {
    const float factor = shrink(tops[w], top);
    sum += sums[w] * factor;
    if (c < a.d) value += parts[w][c] * factor;
  }
  if (!a.parts) return a.write(query, c, top, sum, value);
  float* const part = a.parts + (query * a.splits + split) * (a.d + 2);
  if (c == 0) part[0] = top, part[1] = sum;
  if (c < a.d) part[2 + c] = value;
}

// A block owns one query of one head, a thread a channel; it joins the parts of the blocks that
// shared its keys. Latency bounds it. f32; reproducible: in order.
template <class A>
__global__ void __launch_bounds__(kStepChannels) join_splits(const __grid_constant__ Steps<A> a) {
  const float* const parts = a.parts + Index(blockIdx.x) * a.splits * (a.d + 2);
  float top = -kInfinity, sum = 0, value = 0;
  for (int s = 0; s < a.splits; ++s) top = fmaxf(top, parts[s * (a.d + 2)]);
  for (int s = 0; s < a.splits; ++s) {
    const float* const part = parts + s * (a.d + 2);
    const float factor = shrink(part[0], top);
    sum += part[1] * factor;
    if (int(threadIdx.x) < a.d) value += part[2 + threadIdx.x] * factor;
  }
  a.write(blockIdx.x, int(threadIdx.x), top, sum, value);
}

// One of `splits` blocks for a query of a head; all their warps take groups of four keys by turns,
// a lane some channels of each, with a running maximum and sum, which are joined at the end. Reads
// keys and values once for each query: latency bounds it where queries are few, memory where they
// are many. f32. Reproducible: which warp takes a key, and the order of all sums, depend on shapes.
template <class A, int V, int Items>
__global__ void __launch_bounds__(32 * kWarps) attention_steps(const __grid_constant__ Steps<A> a) {
  const Index query = blockIdx.x / unsigned(a.splits);  // (b, head, t)
  const int split = int(blockIdx.x % unsigned(a.splits)), t = int(query % a.T);
  const Index b = query / (Index(a.T) * a.heads), head = query / a.T % a.heads;
  const A* const own = a.qkv + b * a.T * 3 * a.D + head * a.d;
  const A* const cache = a.seen ? a.earlier + b * a.capacity * 2 * a.D + head * a.d : nullptr;
  const int keys = a.seen + t + 1, warp = split * kWarps + int(threadIdx.x) / 32;
  float q[Items][V];
  load_channels<V, Items>(q, own + t * 3 * a.D, true, a.d);
  Seen<V, Items> seen;
  for (int first = warp * kAhead; first < keys; first += a.splits * kWarps * kAhead) {
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
  join_warps(seen, a, query, split);
}

}  // namespace

void attention_of_few_steps(const Attention& a, Index splits, float* parts, cudaStream_t stream) {
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
                        .factor = float(1 / std::sqrt(double(d))),
                        .splits = int(splits),
                        .parts = splits > 1 ? parts : nullptr};
    const int queries = blocks_for(B * a.heads * T, 1), blocks = blocks_for(queries * splits, 1);
    if (blocks == 0) return;
    constexpr int kBytes = 4 * sizeof(A);
    if (d % 4 == 0 && aligned<kBytes>(task.qkv) && aligned<kBytes>(task.earlier))
      attention_steps<A, 4, kStepChannels / 128><<<blocks, 32 * kWarps, 0, stream>>>(task);
    else
      attention_steps<A, 1, kStepChannels / 32><<<blocks, 32 * kWarps, 0, stream>>>(task);
    if (task.parts) join_splits<<<queries, kStepChannels, 0, stream>>>(task);
    launched("[attention]");
  });
}

}  // namespace tern::cuda
