// What the plain attention kernels are made of: products of tiles of 64 rows of one head, through
// shared memory, in f32.
#pragma once

#include "cuda/common/device.cuh"

namespace tern::cuda {

constexpr int kTile = 64;          // queries or keys of a tile
constexpr int kTileThreads = 256;  // 16 x 16: a thread owns 4 x 4 scores of a tile
constexpr int kSlab = 128;         // channels of the output that a block owns
constexpr int kDepth = 16;         // channels of both factors in shared memory at a time
constexpr int kValueRows = 32;     // rows of values in shared memory at a time
constexpr int kPitch = kTile + 4;  // floats of a row of kTile: four to a bank conflict less

// The rows of one head: [0, split) from `early` on, the others, up to count, from `late` on.
template <class A>
struct HeadRows {
  const A *early = nullptr, *late = nullptr;
  Index early_stride = 0, late_stride = 0;
  int split = 0, count = 0, d = 0;
  bool fours = false;  // four channels may be loaded as one word

  // channels c to c + 4 of row r; zeros outside
  __device__ void read(float (&x)[4], int r, int c) const {
#pragma unroll
    for (float& element : x) element = 0;
    if (r >= count || c >= d) return;
    const A* const row = r < split ? early + r * early_stride : late + (r - split) * late_stride;
    if (fours) return load(x, row + c);
#pragma unroll
    for (int v = 0; v < 4; ++v)
      if (c + v < d) x[v] = to_float(row[c + v]);
  }
};

// Channels c to c + 4 of a row of d, = or +=.
template <class A>
__device__ inline void put_channels(A* row, int c, int d, bool fours, bool add, float (&x)[4]) {
  if (c >= d) return;
  if (fours) return put(row + c, add, x);
#pragma unroll
  for (int v = 0; v < 4; ++v)
    if (c + v < d) row[c + v] = from_float<A>(add ? to_float(row[c + v]) + x[v] : x[v]);
}

struct TileMemory {
  union {
    struct {
      float x[kDepth][kPitch], y[kDepth][kPitch];
    } factors;
    float values[kValueRows][kSlab];
  };
  float weights[kTile][kPitch];  // (summed row, row of the result)
};

__device__ inline int tile_row() {  // the first of a thread's four
  return int(threadIdx.x) / 16 * 4;
}
__device__ inline int tile_column() {
  return int(threadIdx.x) % 16 * 4;
}
__device__ inline void read_four(float (&x)[4], const float* from) {
  const float4 word = *reinterpret_cast<const float4*>(from);
  x[0] = word.x, x[1] = word.y, x[2] = word.z, x[3] = word.w;
}

// product[i][j] = x[x0 + tile_row() + i] . y[y0 + tile_column() + j], in order of the channels
template <class A>
__device__ inline void multiply_rows(float (&product)[4][4], const HeadRows<A>& x, int x0,
                                     const HeadRows<A>& y, int y0, TileMemory& memory) {
#pragma unroll
  for (auto& row : product)
#pragma unroll
    for (float& element : row) element = 0;
  const int r = int(threadIdx.x) / 4, channel = int(threadIdx.x) % 4 * 4;
  for (int c = 0; c < x.d; c += kDepth) {
    float a[4], b[4];
    x.read(a, x0 + r, c + channel);
    y.read(b, y0 + r, c + channel);
    __syncthreads();  // whatever was there has been read
#pragma unroll
    for (int v = 0; v < 4; ++v) {
      memory.factors.x[channel + v][r] = a[v];
      memory.factors.y[channel + v][r] = b[v];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      read_four(a, &memory.factors.x[k][tile_row()]);
      read_four(b, &memory.factors.y[k][tile_column()]);
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) product[i][j] = fmaf(a[i], b[j], product[i][j]);
    }
  }
}

// A thread's part of a tile of results: 4 rows, and 4 channels of each half of the slab.
using SlabPart = float[2][4][4];  // half, row, channel

// sum[half][i][j] += sum over rows k of the tile of weights[k][tile_row() + i] *
// y[y0 + k][channel + kSlab / 2 * half + tile_column() + j], in order. All weights must be written;
// they may be written again after a barrier.
template <class A>
__device__ inline void add_weighted_rows(SlabPart& sum, const HeadRows<A>& y, int y0, int channel,
                                         TileMemory& memory) {
  constexpr int kLoads = kValueRows * kSlab / 4 / kTileThreads;
  const int r = int(threadIdx.x) / 32, c = int(threadIdx.x) % 32 * 4;
  for (int first = 0; first < kTile; first += kValueRows) {
    float x[kLoads][4];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) y.read(x[i], y0 + first + r + 8 * i, channel + c);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kLoads; ++i) store(&memory.values[r + 8 * i][c], x[i]);
    __syncthreads();
#pragma unroll 8
    for (int k = 0; k < kValueRows; ++k) {
      float w[4], v[4];
      read_four(w, &memory.weights[first + k][tile_row()]);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        read_four(v, &memory.values[k][half * kSlab / 2 + tile_column()]);
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int j = 0; j < 4; ++j) sum[half][i][j] = fmaf(w[i], v[j], sum[half][i][j]);
      }
    }
  }
}

// weights[tile_column() + j][tile_row() + i] = w[i][j]
__device__ inline void write_weights(const float (&w)[4][4], TileMemory& memory) {
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const float column[4] = {w[0][j], w[1][j], w[2][j], w[3][j]};
    store(&memory.weights[tile_column() + j][tile_row()], column);
  }
}

// rows tile_row() + i of `to`, from row `first` on, up to count
template <class A>
__device__ inline void put_slab(A* to, Index stride, int first, int count, int channel, int d,
                                bool fours, bool add, SlabPart& sum) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int r = first + tile_row() + i;
    if (r >= count) return;
#pragma unroll
    for (int half = 0; half < 2; ++half)
      put_channels(to + r * stride, channel + half * kSlab / 2 + tile_column(), d, fours, add,
                   sum[half][i]);
  }
}

// Which tile, head of which sequence, and channels a block owns. Of causal attention the last query
// tiles, and the first key tiles, take longest: they come first.
struct HeadGrid {
  Index B;
  int T, heads, d, tiles, slabs;

  HeadGrid(const Tensor& out, Index head_count)
      : B(out.shape()[0]),
        T(int(out.shape()[1])),
        heads(int(head_count)),
        d(int(out.shape()[2] / head_count)),
        tiles((T + kTile - 1) / kTile),
        slabs((d + kSlab - 1) / kSlab) {}
  __host__ __device__ Index D() const { return Index(heads) * d; }
  int blocks() const { return blocks_for(B * heads * tiles * slabs, 1); }

  struct Place {
    Index b;
    int head, turn, channel;
  };
  __device__ Place place() const {
    const unsigned slab = blockIdx.x % unsigned(slabs), rest = blockIdx.x / unsigned(slabs);
    const unsigned all = unsigned(B * heads), bh = rest % all;
    return {.b = bh / unsigned(heads),
            .head = int(bh % unsigned(heads)),
            .turn = int(rest / all),
            .channel = int(slab) * kSlab};
  }
  // part 0 to 2 of qkv: q, k, v of that head
  template <class A>
  __device__ HeadRows<A> packed(const A* qkv, const Place& at, int part, bool fours) const {
    return {.late = qkv + at.b * T * 3 * D() + (part * heads + at.head) * Index(d),
            .late_stride = 3 * D(),
            .count = T,
            .d = d,
            .fours = fours};
  }
  // that head of a tensor like out
  template <class A>
  __device__ HeadRows<A> plain(const A* x, const Place& at, bool fours) const {
    return {.late = x + at.b * T * D() + at.head * Index(d),
            .late_stride = D(),
            .count = T,
            .d = d,
            .fours = fours};
  }
  // of log_sum (B, heads, T)
  __device__ Index statistics(const Place& at) const { return (at.b * heads + at.head) * T; }
};

// whether rows of these tensors, all of whole heads of d channels, can be read four at a time
template <class A>
bool heads_in_fours(int d, std::initializer_list<const A*> tensors) {
  bool fours = d % 4 == 0;
  for (const A* t : tensors) fours = fours && aligned<4 * sizeof(A)>(t);
  return fours;
}

}  // namespace tern::cuda
