// Rotary position embedding, and the cache of keys and values.

#include "cuda/backend/cuda_backend.h"
#include "cuda/common/device.cuh"

namespace tern {

using namespace cuda;

namespace {

constexpr int kMostThreads = 256, kSequences = 8;

// One of q, k, v: rows of it in one tensor are rotated, or copied, to rows of another.
template <class A>
struct Part {
  const A* from;
  A* to;  // null: nothing to do
  Index from_stride, to_stride;
  bool add;
};

template <class A>
struct Rotation {
  Part<A> parts[3];
  Index B, T, first;
  int d, heads, lanes;  // lanes: threads of one head, a power of two
  int kinds;            // 2: v stays as it is
  int sequences;        // of a block
  double theta, sign;   // -1: the opposite rotation
};

// q and k's rotation by the angles of one step: cosine in x, sine in y, (d / 2) in shared memory.
// Each thread computes its share; position * theta^(-2i/d) in f64.
template <class A>
__device__ inline void step_angles(float2* angles, const Rotation<A>& a, Index t) {
  for (int i = int(threadIdx.x); i < a.d / 2; i += int(blockDim.x)) {
    double sine, cosine;
    sincos(double(a.first + t) * pow(a.theta, -2.0 * i / a.d), &sine, &cosine);
    angles[i] = {float(cosine), float(a.sign * sine)};
  }
  __syncthreads();
}

// x and y, channels i and i + d/2 of a head, V of each
template <int V>
__device__ inline void rotate(float (&x)[V], float (&y)[V], const float2* angles) {
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const float c = angles[v].x, s = angles[v].y, before = x[v];
    x[v] = before * c - y[v] * s;
    y[v] = y[v] * c + before * s;
  }
}

// The scale that ternary rounding of a head takes, from each of its threads' sum of |x|: 1 /
// max(mean |x|, 1e-5), NaN if the head is not finite.
__device__ inline float ternary_scale(float sum, int lanes, int d) {
  for (int offset = lanes / 2; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(kAllLanes, sum, offset);
  return isfinite(sum) ? 1.0f / fmaxf(sum / float(d), 1e-5f) : sum - sum;
}
template <int V>
__device__ inline void round_to_ternary(float (&x)[V], float scale) {
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const float code = fminf(1.0f, fmaxf(-1.0f, rintf(x[v] * scale)));
    x[v] = isfinite(scale) ? code / scale : scale;
  }
}

// A block owns one step of some sequences: it computes the step's angles once. `lanes` neighbouring
// threads own one head of q, k or v: each takes channels i to i + V and their partners half a head
// further, and with few channels in a head does so once. Reads and writes 3D elements a row, which
// bounds it; d/2 sines in f64 a block. f32; reproducible. With ternary, a head's |x| are added in a
// fixed tree, and its channels are read again, from the cache.
template <class A, int V, bool ternary>
__global__ void __launch_bounds__(kMostThreads, 4)
    rotate_heads(const __grid_constant__ Rotation<A> a) {
  extern __shared__ float2 angles[];
  const Index t = blockIdx.x % a.T;
  step_angles(angles, a, t);
  const int half = a.d / 2, lane = int(threadIdx.x) % a.lanes;
  const Index b_begin = blockIdx.x / a.T * a.sequences;
  const Index b_end = min(a.B, b_begin + a.sequences);
  const int heads = a.kinds * a.heads, together = int(blockDim.x) / a.lanes;
  // every lane of a warp takes every turn, as they add up |x| together
  for (int first = 0; first < heads; first += together) {
    const int head = first + int(threadIdx.x) / a.lanes, which = min(head / a.heads, 2);
    const Part<A> part = a.parts[which];
    const bool mine = head < heads && part.to;
    const Index channel = Index(head % a.heads) * a.d;
    const A* const from = part.from + channel + t * part.from_stride;
    A* const to = part.to + channel + t * part.to_stride;
#pragma unroll 4
    for (Index b = b_begin; b < b_end; ++b) {
      const A* const row = from + b * a.T * part.from_stride;
      A* const out = to + b * a.T * part.to_stride;
      float scale = 1;
      if (ternary) {
        float sum = 0;
        for (int i = lane * V; mine && which < 2 && i < half; i += a.lanes * V) {
          float x[V], y[V];
          load(x, row + i), load(y, row + i + half);
          rotate(x, y, angles + i);
#pragma unroll
          for (int v = 0; v < V; ++v) sum += fabsf(x[v]) + fabsf(y[v]);
        }
        scale = ternary_scale(sum, a.lanes, a.d);
      }
      for (int i = lane * V; mine && i < half; i += a.lanes * V) {
        float x[V], y[V];
        load(x, row + i), load(y, row + i + half);
        if (which < 2) rotate(x, y, angles + i);
        if (ternary && which < 2) round_to_ternary(x, scale), round_to_ternary(y, scale);
        put(out + i, part.add, x), put(out + i + half, part.add, y);
      }
    }
  }
}

template <class A, int V>
void launch_in_vectors(Rotation<A> a, bool ternary, cudaStream_t stream) {
  a.lanes = 1;
  while (a.lanes < 32 && a.lanes * V < a.d / 2) a.lanes *= 2;
  a.sequences = int(std::min<Index>(a.B, kSequences));
  a.kinds = a.parts[2].to ? 3 : 2;
  const int wanted = a.kinds * a.heads * a.lanes,
            turns = (wanted + kMostThreads - 1) / kMostThreads;
  const int threads = ((wanted + turns - 1) / turns + 31) / 32 * 32;
  const int blocks = blocks_for(a.T * blocks_for(a.B, a.sequences), 1);
  const std::size_t shared = sizeof(float2) * std::size_t(a.d / 2);
  check(shared <= 48 << 10, "[rotary] expected heads of at most 12288 channels, got ", a.d);
  if (ternary)
    rotate_heads<A, V, true><<<blocks, threads, shared, stream>>>(a);
  else
    rotate_heads<A, V, false><<<blocks, threads, shared, stream>>>(a);
  launched("[rotary]");
}

template <class A>
void launch(const Rotation<A>& a, bool ternary, cudaStream_t stream) {
  constexpr int V = 16 / sizeof(A);
  if (a.B * a.T == 0) return;
  bool vectors = a.d % (2 * V) == 0;
  for (const Part<A>& p : a.parts)
    vectors = vectors && aligned<16>(p.from) && aligned<16>(p.to);  // strides are whole heads
  if (vectors)
    launch_in_vectors<A, V>(a, ternary, stream);
  else
    launch_in_vectors<A, 1>(a, ternary, stream);
}

template <class A>
Rotation<A> rotation(const Tensor& packed, Index heads, Index first, double theta, double sign) {
  const Index D = packed.shape()[2] / 3;
  return {.parts = {},
          .B = packed.shape()[0],
          .T = packed.shape()[1],
          .first = first,
          .d = int(D / heads),
          .heads = int(heads),
          .lanes = 1,
          .kinds = 3,
          .sequences = 1,
          .theta = theta,
          .sign = sign};
}

// A thread owns V elements of one step's keys and values. Reads and writes each once, which bounds
// it. Nothing is summed; reproducible.
template <class A, int V>
__global__ void __launch_bounds__(256)
    store_rows(A* cache, const A* qkv, Index B, Index T, Index C, Index at, Index D) {
  const Index i = (Index(blockIdx.x) * 256 + threadIdx.x) * V;
  if (i >= B * T * 2 * D) return;
  const Index n = i / (2 * D), column = i % (2 * D), b = n / T, t = n % T;
  float x[V];
  load(x, qkv + n * 3 * D + D + column);
  store(cache + (b * C + at + t) * 2 * D + column, x);
}

}  // namespace

void CudaBackend::run(const Rotary& a) {
  visit_real(a.qkv.dtype(), [&]<class A>() {
    Rotation<A> task = rotation<A>(a.qkv, a.heads, a.first, a.theta, 1);
    const Index D = a.qkv.shape()[2] / 3;
    const Tensor* const inputs[] = {&a.q, &a.k, &a.v};
    for (int i = 0; i < 3; ++i)
      task.parts[i] = {.from = a.k ? inputs[i]->data<A>() : a.q.data<A>() + i * D,
                       .to = a.qkv.data<A>() + i * D,
                       .from_stride = a.k ? D : 3 * D,
                       .to_stride = 3 * D,
                       .add = false};
    if (task.parts[2].to == task.parts[2].from) task.parts[2].to = nullptr;
    launch(task, a.ternary, stream_);
  });
}

void CudaBackend::run(const RotaryBackward& a) {
  visit_real(a.dqkv.dtype(), [&]<class A>() {
    Rotation<A> task = rotation<A>(a.dqkv, a.heads, a.first, a.theta, -1);
    const Index D = a.dqkv.shape()[2] / 3;
    const bool together = a.dq && a.dq.to.shape().last() == 3 * D;
    const Grad* const grads[] = {&a.dq, &a.dk, &a.dv};
    for (int i = 0; i < 3; ++i)
      task.parts[i] = {.from = a.dqkv.data<A>() + i * D,
                       .to = together ? a.dq.to.data<A>() + i * D : data_or_null<A>(grads[i]->to),
                       .from_stride = 3 * D,
                       .to_stride = together ? 3 * D : D,
                       .add = together ? a.dq.add : grads[i]->add};
    if (task.parts[2].to == task.parts[2].from) task.parts[2].to = nullptr;
    launch(task, false, stream_);
  });
}

void CudaBackend::run(const StoreKeysValues& a) {
  visit_real(a.cache.dtype(), [&]<class A>() {
    constexpr int V = 16 / sizeof(A);
    const Index B = a.qkv.shape()[0], T = a.qkv.shape()[1], D = a.qkv.shape()[2] / 3;
    const Index C = a.cache.shape()[1], n = B * T * 2 * D;
    if (n == 0) return;
    A* const cache = a.cache.data<A>();
    const A* const qkv = a.qkv.data<A>();
    if (D % V == 0 && aligned<16>(cache) && aligned<16>(qkv))
      store_rows<A, V><<<blocks_for(n, 256 * V), 256, 0, stream_>>>(cache, qkv, B, T, C, a.at, D);
    else
      store_rows<A, 1><<<blocks_for(n, 256), 256, 0, stream_>>>(cache, qkv, B, T, C, a.at, D);
    launched("[store_keys_values]");
  });
}

}  // namespace tern
