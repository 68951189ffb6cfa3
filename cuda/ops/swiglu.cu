// SwiGLU without a norm behind it.
#include "cuda/backend/cuda_backend.h"
#include "cuda/common/device.cuh"
#include "cuda/common/gates.cuh"

namespace tern {

using namespace cuda;

namespace {

// sigmoid of V values: as exact as f32 allows for f32, to 1e-5 for bf16
template <class A, int V>
__device__ inline void gates(float (&s)[V], const float (&x)[V]) {
#pragma unroll
  for (int v = 0; v < V; ++v)
    s[v] = sizeof(A) == 4 ? sigmoid(x[v])
                          : approximate_reciprocal(1 + approximate_exp2(-kLog2E * x[v]));
}

// The place of a thread: V columns of one row of H.
struct Place {
  Index row;
  int column;
};
template <int V>
__device__ inline Place place(int H, int blocks_a_row) {
  const Index row = blockIdx.x / blocks_a_row;
  const int part = int(blockIdx.x - row * blocks_a_row);
  return {row, (part * int(blockDim.x) + int(threadIdx.x)) * V};
}

// A thread owns V columns of a row of y: reads theirs of a and b, 3 elements through memory for one
// of y, which bounds it. f32; nothing is summed; reproducible.
template <class A, int V>
__global__ void swiglu(A* y, const A* ab, int H, int blocks_a_row) {
  const auto [row, column] = place<V>(H, blocks_a_row);
  if (column >= H) return;
  float a[V], b[V], s[V];
  load(a, ab + row * 2 * H + column);
  load(b, ab + row * 2 * H + H + column);
  gates<A>(s, a);
#pragma unroll
  for (int v = 0; v < V; ++v) b[v] *= a[v] * s[v];
  store(y + row * H + column, b);
}

// The same division: 5 elements through memory, 7 if it adds, which bounds it.
template <class A, int V>
__global__ void swiglu_backward(A* dab, bool add, const A* dy, const A* ab, int H,
                                int blocks_a_row) {
  const auto [row, column] = place<V>(H, blocks_a_row);
  if (column >= H) return;
  const Index left = row * 2 * H + column;
  float a[V], b[V], d[V], s[V];
  load(a, ab + left);
  load(b, ab + left + H);
  load(d, dy + row * H + column);
  gates<A>(s, a);
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const float value = a[v] * s[v];
    a[v] = d[v] * b[v] * (s[v] + value * (1 - s[v]));
    b[v] = d[v] * value;
  }
  put(dab + left, add, a);
  put(dab + left + H, add, b);
}

// f(V, blocks a row, blocks, threads): vectors where all rows are aligned to them
template <class A, class F>
void divide_rows(Index N, Index H, std::initializer_list<const A*> tensors, F&& f) {
  constexpr int kWide = 16 / sizeof(A), kMostThreads = 512;
  bool vectors = H % kWide == 0;
  for (const A* t : tensors) vectors = vectors && aligned<16>(t);
  if (N * H == 0) return;
  const Index places = vectors ? H / kWide : H;
  const int parts = blocks_for(places, kMostThreads);
  const int threads = blocks_for(blocks_for(places, parts), 32) * 32;
  if (vectors)
    f.template operator()<kWide>(parts, blocks_for(N * parts, 1), threads);
  else
    f.template operator()<1>(parts, blocks_for(N * parts, 1), threads);
}

}  // namespace

void CudaBackend::run(const Swiglu& a) {
  visit_real(a.y.dtype(), [&]<class A>() {
    const Index H = a.y.shape().last(), N = a.y.elements() / H;
    A* const y = a.y.data<A>();
    const A* const ab = a.ab.data<A>();
    divide_rows<A>(N, H, {y, ab}, [&]<int V>(int parts, int blocks, int threads) {
      swiglu<A, V><<<blocks, threads, 0, stream_>>>(y, ab, int(H), parts);
      launched("[swiglu]");
    });
  });
}

void CudaBackend::run(const SwigluBackward& a) {
  visit_real(a.dy.dtype(), [&]<class A>() {
    const Index H = a.dy.shape().last(), N = a.dy.elements() / H;
    A* const dab = a.dab.to.data<A>();
    const A *const dy = a.dy.data<A>(), *const ab = a.ab.data<A>();
    divide_rows<A>(N, H, {dab, dy, ab}, [&]<int V>(int parts, int blocks, int threads) {
      swiglu_backward<A, V><<<blocks, threads, 0, stream_>>>(dab, a.dab.add, dy, ab, int(H), parts);
      launched("[swiglu]");
    });
  });
}

}  // namespace tern
