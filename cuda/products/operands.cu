#include "cuda/common/device.cuh"
#include "cuda/products/product_kernels.h"

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

}  // namespace tern::cuda
