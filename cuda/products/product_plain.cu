#include "cuda/common/device.cuh"
#include "cuda/products/product_kernels.h"

namespace tern::cuda {
namespace {

constexpr int kTile = 64;   // rows and columns of c a block
constexpr int kDepth = 16;  // of K at a time
constexpr int kThreads = 256;
constexpr int kPitch = kTile + 4;  // floats from one k to the next: whole 16 bytes, other banks
constexpr int kEach = kTile * kDepth / kThreads;  // elements of an operand that a thread loads

__device__ float element(const PlainMatrix& m, Index row, Index column, Index columns) {
  const Index i = row * columns + column;
  if (m.type == DType::f32) return static_cast<const float*>(m.data)[i];
  if (m.type == DType::bf16) return to_float(static_cast<const bf16*>(m.data)[i]);
  const float code = to_float(static_cast<const std::int8_t*>(m.data)[i]);
  if (!m.row_scale) return code;
  if (m.dequantized == DType::f32) return __fdiv_rn(code, m.row_scale[row]);
  return to_float(from_float<bf16>(code * quotient_factor(m.row_scale[row])));
}

// One operand as (depth, across): what is summed over, and rows of a or columns of b.
// kByDepth: it is stored with the depth as rows.
template <bool kByDepth>
struct Operand {
  // Neighbouring threads read neighbouring elements.
  static __device__ int depth(int e) { return kByDepth ? e / kTile : e % kDepth; }
  static __device__ int across(int e) { return kByDepth ? e % kTile : e / kDepth; }

  __device__ void fetch(float (&to)[kEach], Index depth_from, Index across_from) const {
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int e = int(threadIdx.x) + j * kThreads;
      const Index k = depth_from + depth(e), x = across_from + across(e);
      if (k >= depths || x >= acrosses)
        to[j] = 0;
      else
        to[j] = kByDepth ? element(matrix, k, x, acrosses) : element(matrix, x, k, depths);
    }
  }
  __device__ void keep(float* shared, const float (&from)[kEach]) const {
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int e = int(threadIdx.x) + j * kThreads;
      shared[depth(e) * kPitch + across(e)] = from[j];
    }
  }
  PlainMatrix matrix;
  Index depths, acrosses;
};

__device__ void put_element(const PlainProduct& p, Index i, float value) {
  if (p.type == DType::f32) {
    float* c = static_cast<float*>(p.c) + i;
    *c = p.add ? *c + value : value;
  } else {
    bf16* c = static_cast<bf16*>(p.c) + i;
    *c = from_float<bf16>(p.add ? to_float(*c) + value : value);
  }
}

// Block: a (64, 64) tile of c; thread: (4, 4) of it, rows 4 * (thread / 16). All share both
// operands' (16, 64) pieces, the next ones on their way while these are used. 2 M N K flops; bound
// by loads from shared memory, half a float for each multiply-add. Accumulates in f32, one k after
// the other: reproducible, whatever the device.
template <bool kTransposeA, bool kTransposeB>
__global__ void __launch_bounds__(kThreads) product_tiles(const PlainProduct p) {
  __shared__ alignas(16) float as[kDepth * kPitch];
  __shared__ alignas(16) float bs[kDepth * kPitch];
  const auto [M, N, K, transpose_a, transpose_b] = p.shape;
  const Operand<kTransposeA> a{p.a, K, M};
  const Operand<!kTransposeB> b{p.b, K, N};
  const Index across = (N + kTile - 1) / kTile;
  const Index m0 = blockIdx.x / across * kTile, n0 = blockIdx.x % across * kTile;
  const int row = int(threadIdx.x) / 16 * 4, column = int(threadIdx.x) % 16 * 4;

  float sum[4][4] = {}, next_a[kEach], next_b[kEach];
  a.fetch(next_a, 0, m0);
  b.fetch(next_b, 0, n0);
  for (Index k0 = 0; k0 < K; k0 += kDepth) {
    a.keep(as, next_a);
    b.keep(bs, next_b);
    __syncthreads();
    a.fetch(next_a, k0 + kDepth, m0);
    b.fetch(next_b, k0 + kDepth, n0);
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      float x[4], w[4];
      load(x, as + k * kPitch + row);
      load(w, bs + k * kPitch + column);
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sum[i][j] = fmaf(x[i], w[j], sum[i][j]);
    }
    __syncthreads();
  }

  const float factor = p.divisor ? __fdiv_rn(1.0f, *p.divisor) : 1.0f;
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const Index m = m0 + row + i, n = n0 + column + j;
      if (m < M && n < N) put_element(p, m * N + n, __fmul_rn(sum[i][j], factor));
    }
}

}  // namespace

void product_plain(const PlainProduct& p, cudaStream_t stream) {
  const ProductShape& s = p.shape;
  if (s.M == 0 || s.N == 0) return;
  check(!(s.transpose_a && s.transpose_b),
        "[product_plain] expected one transposed operand, got 2");
  const Index tiles = (s.M + kTile - 1) / kTile * ((s.N + kTile - 1) / kTile);
  const int blocks = blocks_for(tiles, 1);
  if (s.transpose_a)
    product_tiles<true, false><<<blocks, kThreads, 0, stream>>>(p);
  else if (s.transpose_b)
    product_tiles<false, true><<<blocks, kThreads, 0, stream>>>(p);
  else
    product_tiles<false, false><<<blocks, kThreads, 0, stream>>>(p);
  launched("[product_plain]");
}

}  // namespace tern::cuda
