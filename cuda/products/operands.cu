#include "cuda/common/device.cuh"
#include "cuda/products/product_kernels.h"
#include "cuda/rows/row_fp8.cuh"
#include "cuda/rows/row_layout.cuh"

namespace tern::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWide = 8;     // elements of one vector: 16 bytes of bf16
constexpr int kVectors = 4;  // vectors a thread, all loaded before the first is stored

// Factor of an element: one, or one over its row's scale.
struct Same {
  __device__ float operator()(unsigned) const { return 1.0f; }
};
// The thread of the first vector also writes the product's factors: that saves a launch.
struct SameWithFactors {
  __device__ float operator()(unsigned vector) const {
    if (vector == 0) {
      factors[0] = __fdiv_rn(1.0f, *scale);
      factors[1] = add ? 1.0f : 0.0f;
    }
    return 1.0f;
  }
  float* factors;
  const float* scale;
  bool add;
};
struct PerRow {
  __device__ float operator()(unsigned vector) const {
    return quotient_factor(row_scale[vector / vectors_per_row]);
  }
  const float* row_scale;
  unsigned vectors_per_row;
};

// Block: 8192 neighbouring elements; thread: four vectors of 8, a block's width apart.
// sizeof(From) + 2 bytes an element, 2 more where it adds, which bound it. f32.
// No sums but that one: reproducible.
template <bool kAdd, class From, class Factor>
__global__ void __launch_bounds__(kThreads)
    expand(bf16* to, const From* from, unsigned vectors, const Factor factor) {
  const unsigned first = blockIdx.x * (kThreads * kVectors) + threadIdx.x;
  float x[kVectors][kWide], f[kVectors];
#pragma unroll
  for (int j = 0; j < kVectors; ++j) {
    const unsigned v = first + j * kThreads;
    if (v < vectors) {
      load(x[j], from + std::size_t(v) * kWide);
      f[j] = factor(v);
    }
  }
#pragma unroll
  for (int j = 0; j < kVectors; ++j) {
    const unsigned v = first + j * kThreads;
#pragma unroll
    for (int i = 0; i < kWide; ++i) x[j][i] *= f[j];
    if (v < vectors) put(to + std::size_t(v) * kWide, kAdd, x[j]);
  }
}

template <bool kAdd = false, class From, class Factor>
void launch(bf16* to, const From* from, Index count, Factor factor, cudaStream_t stream) {
  check(count % kWide == 0 && count / kWide < (Index(1) << 31), "[expand] expected a multiple of ",
        kWide, " below 2^34 elements, got ", count);
  if (count == 0) return;
  const Index vectors = count / kWide;
  expand<kAdd><<<blocks_for(vectors, kThreads * kVectors), kThreads, 0, stream>>>(
      to, from, unsigned(vectors), factor);
  launched("[expand]");
}

// A block owns a row, a thread its Items * 4 columns. 3 bytes an element, which bound it. f32, and
// exactly the CPU's codes. Reproducible: a maximum has no order.
template <class L>
__global__ void __launch_bounds__(L::bound) round_rows(const RoundRows a) {
  __shared__ float shared[32];
  const Index n = blockIdx.x;
  const int D = int(a.columns);
  Word<bf16, L::V> words[1][L::Items];
  load_words<L>(words[0], a.dy + n * D, D);
  Fp8Writer{a.to, a.factors}.write<L, bf16>(n, words, D, shared);
}

template <class L>
void round_rows_as(const RoundRows& a, cudaStream_t stream) {
  launch_rows("[round_rows_fp8]", round_rows<L>, a, a.rows, L::threads(a.columns), 0, stream);
}

template <class T>
struct Through {
  float* to;
  const T* dy;
  int D;
};

// A block owns a row, a thread every 256th column. 2 sizeof(T) + 4 bytes an element: bound by
// memory; for sizes that the library does not take. f32, the CPU's values. Reproducible.
template <class T>
__global__ void __launch_bounds__(kThreads) round_through(const Through<T> a) {
  __shared__ float shared[32];
  const Index row = Index(blockIdx.x) * a.D;
  float top[1] = {};
  for (int i = int(threadIdx.x); i < a.D; i += kThreads)
    top[0] = larger(top[0], fabsf(to_float(a.dy[row + i])));
  reduce_row<0>(top, shared);
  const Fp8Scale scale(top[0]);
  for (int i = int(threadIdx.x); i < a.D; i += kThreads)
    a.to[row + i] = float(__nv_fp8_e4m3(to_float(a.dy[row + i]) * scale.value)) * scale.factor();
}

constexpr int kTile = 64, kPitch = kTile + 4;  // so that a column's bytes lie in different banks

// A block owns 64 x 64 codes, a thread 16 neighbours of a row and then 16 of a column. 2 bytes an
// element, which bound it. -1, 0, 1 are e4m3 0xb8, 0x00, 0x38. No sums: reproducible.
__global__ void __launch_bounds__(kThreads) transpose_ternary(const TransposeTernary a) {
  __shared__ __align__(16) unsigned char tile[kTile * kPitch];
  const int line = int(threadIdx.x) / 4, part = int(threadIdx.x) % 4 * 16;
  const Index o = Index(blockIdx.y) * kTile, i = Index(blockIdx.x) * kTile;
  uint4 codes{};
  load_if(o + line < a.O && i + part < a.I, codes, a.t + (o + line) * a.I + i + part);
  auto* to = reinterpret_cast<unsigned*>(tile + line * kPitch + part);
  const unsigned four[] = {codes.x, codes.y, codes.z, codes.w};
#pragma unroll
  for (int k = 0; k < 4; ++k) to[k] = (four[k] & 0x80808080u) | (four[k] & 0x01010101u) * 0x38u;
  __syncthreads();
  unsigned turned[4] = {};
#pragma unroll
  for (int k = 0; k < 16; ++k)
    turned[k / 4] |= unsigned(tile[(part + k) * kPitch + line]) << (k % 4 * 8);
  store_if(i + line < a.I && o + part < a.O, a.to + (i + line) * a.O + o + part,
           make_uint4(turned[0], turned[1], turned[2], turned[3]));
  if (blockIdx.y == 0 && threadIdx.x < kTile && i + threadIdx.x < a.I)
    a.factors[i + threadIdx.x] = 1.0f / *a.scale;
}

// A block unpacks 16 neighbouring tiles, a thread a row of one: 4 bytes, which lie side by side for
// 16 threads, to 16. Memory bounds it. Nothing is summed; reproducible.
__global__ void __launch_bounds__(kTileSide* kTileSide)
    unpack_rows(std::int8_t* to, const TernaryTile* tiles, Index O, Index I) {
  const Index across = tiles_along(I);
  const int row = int(threadIdx.x) % kTileSide;
  const Index o = Index(blockIdx.x) * kTileSide + row;
  const Index tile = Index(blockIdx.y) * kTileSide + threadIdx.x / kTileSide, i = tile * kTileSide;
  if (o >= O || tile >= across) return;
  const auto* rows = reinterpret_cast<const unsigned*>(tiles + Index(blockIdx.x) * across + tile);
  const unsigned codes = rows[row];
  unsigned words[4];  // of 4 columns: a field of each byte
#pragma unroll
  for (int f = 0; f < 4; ++f) words[f] = __vsub4(codes >> 2 * f & 0x03030303u, 0x01010101u);
  if (I % kTileSide == 0) {
    *reinterpret_cast<uint4*>(to + o * I + i) = {words[0], words[1], words[2], words[3]};
    return;
  }
#pragma unroll
  for (int c = 0; c < kTileSide; ++c)
    if (i + c < I) to[o * I + i + c] = std::int8_t(words[c / 4] >> 8 * (c % 4));
}

}  // namespace

void unpack_tiles(std::int8_t* to, const TernaryTile* tiles, Index O, Index I,
                  cudaStream_t stream) {
  const dim3 blocks(unsigned(tiles_along(O)), unsigned(tiles_along(tiles_along(I))));
  unpack_rows<<<blocks, kTileSide * kTileSide, 0, stream>>>(to, tiles, O, I);
  launched("[unpack_tiles]");
}

void expand_ternary(const ExpandTernary& e, Index count, cudaStream_t stream) {
  launch(e.to, e.t, count, SameWithFactors{e.factors, e.scale, e.add}, stream);
}

void expand_rows(bf16* to, const std::int8_t* q, const float* row_scale, Index rows, Index columns,
                 cudaStream_t stream) {
  check(columns % kWide == 0, "[expand_rows] expected rows of whole vectors, got ", columns);
  launch(to, q, rows * columns, PerRow{row_scale, unsigned(columns / kWide)}, stream);
}

void round_to_bf16(bf16* to, const float* from, Index count, cudaStream_t stream) {
  launch(to, from, count, Same{}, stream);
}

void add_to_bf16(bf16* to, const float* from, Index count, cudaStream_t stream) {
  launch<true>(to, from, count, Same{}, stream);
}

void round_rows_fp8(const RoundRows& a, cudaStream_t stream) {
  check(a.columns % 16 == 0 && a.columns <= WideRow::widest,
        "[round_rows_fp8] expected rows of a multiple of 16 elements, at most ", WideRow::widest,
        ", got ", a.columns);
  if (a.columns <= LongRow::widest)
    round_rows_as<LongRow>(a, stream);
  else
    round_rows_as<WideRow>(a, stream);
}

void round_rows_through_fp8(float* to, const Tensor& dy, cudaStream_t stream) {
  const Index D = dy.shape().last(), N = dy.elements() / D;
  visit_real(dy.dtype(), [&]<class T>() {
    launch_rows("[round_rows_through_fp8]", round_through<T>,
                Through<T>{.to = to, .dy = dy.data<T>(), .D = int(D)}, N, kThreads, 0, stream);
  });
}

void transpose_ternary_fp8(const TransposeTernary& a, cudaStream_t stream) {
  check(a.O % 16 == 0 && a.I % 16 == 0, "[transpose_ternary_fp8] expected multiples of 16, got (",
        a.O, ", ", a.I, ")");
  const dim3 tiles(unsigned(blocks_for(a.I, kTile)), unsigned(blocks_for(a.O, kTile)));
  transpose_ternary<<<tiles, kThreads, 0, stream>>>(a);
  launched("[transpose_ternary_fp8]");
}

}  // namespace tern::cuda
