// Causal attention, forward, any size.
#include <limits>

#include "cuda/attention/attention_kernels.h"
#include "cuda/attention/head_tiles.cuh"

namespace tern::cuda {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <class A>
struct Forward {
  A* out;
  float* log_sum;
  const A *qkv, *earlier;
  Index capacity;  // C, rows of a sequence in `earlier`
  int seen;
  float factor;  // 1 / sqrt(d)
  bool fours;
  HeadGrid grid;

  // all keys (part 1) or values (part 2) that a head sees
  __device__ HeadRows<A> seen_rows(const HeadGrid::Place& at, int part) const {
    HeadRows<A> rows = grid.packed(qkv, at, part, fours);
    if (seen == 0) return rows;
    rows.early_stride = 2 * grid.D();
    rows.early = earlier + at.b * capacity * rows.early_stride +
                 ((part - 1) * grid.heads + at.head) * Index(grid.d);
    rows.split = seen;
    rows.count += seen;
    return rows;
  }
};

// over the 16 threads that share rows of a tile
template <class F>
__device__ inline float over_columns(float x, F f) {
#pragma unroll
  for (int offset = 8; offset > 0; offset /= 2) x = f(x, __shfl_xor_sync(kAllLanes, x, offset));
  return x;
}

// The running maximum and sum of exp of a thread's four queries.
struct RunningSoftmax {
  float top[4], sum[4];

  // scores (4 queries, 4 of the tile's keys) to exp(score - maximum so far); what was summed before
  // is scaled to the new maximum
  __device__ void take(float (&scores)[4][4], SlabPart& out) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float largest = fmaxf(fmaxf(scores[i][0], scores[i][1]), fmaxf(scores[i][2], scores[i][3]));
      largest = over_columns(largest, [](float a, float b) { return fmaxf(a, b); });
      const float now = fmaxf(top[i], largest), shrink = expf(top[i] - now);
      float total = 0;
#pragma unroll
      for (float& s : scores[i]) total += s = expf(s - now);
      top[i] = now;
      sum[i] = sum[i] * shrink + over_columns(total, Add());
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (float& o : out[half][i]) o *= shrink;
    }
  }
};

// A block owns 64 queries of a head and 128 channels of their results, a thread 4 queries; it walks
// over tiles of 64 keys up to the last query's, with a running maximum and sum. 4 d FLOP a pair of
// query and key, in f32 outside of the tensor cores, which bounds it; heads of more than 128
// channels compute their scores again for each further 128. Reproducible: sums go by the tiles in
// order.
template <class A>
__global__ void __launch_bounds__(kTileThreads, 2)
    attention_tiles(const __grid_constant__ Forward<A> a) {
  __shared__ TileMemory memory;
  const HeadGrid::Place at = a.grid.place();
  const int first = (a.grid.tiles - 1 - at.turn) * kTile;
  const HeadRows<A> q = a.grid.packed(a.qkv, at, 0, a.fours);
  const HeadRows<A> k = a.seen_rows(at, 1), v = a.seen_rows(at, 2);
  RunningSoftmax softmax = {{-kInfinity, -kInfinity, -kInfinity, -kInfinity}, {}};
  SlabPart out = {};
  const int keys = min(k.count, a.seen + first + kTile);
  for (int key = 0; key < keys; key += kTile) {
    float scores[4][4];
    multiply_rows(scores, q, first, k, key, memory);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const bool sees = key + tile_column() + j <= a.seen + first + tile_row() + i;
        scores[i][j] = sees ? scores[i][j] * a.factor : -kInfinity;
      }
    softmax.take(scores, out);
    write_weights(scores, memory);
    add_weighted_rows(out, v, key, at.channel, memory);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (float& o : out[half][i]) o /= softmax.sum[i];
    const int t = first + tile_row() + i;
    if (a.log_sum && at.channel == 0 && tile_column() == 0 && t < a.grid.T)
      a.log_sum[a.grid.statistics(at) + t] = softmax.top[i] + logf(softmax.sum[i]);
  }
  const Index D = a.grid.D();
  put_slab(a.out + at.b * a.grid.T * D + at.head * a.grid.d, D, first, a.grid.T, at.channel,
           a.grid.d, a.fours, false, out);
}

}  // namespace

void plain_attention(const Attention& a, cudaStream_t stream) {
  visit_real(a.out.dtype(), [&]<class A>() {
    const HeadGrid grid(a.out, a.heads);
    const Forward<A> task{.out = a.out.data<A>(),
                          .log_sum = data_or_null<float>(a.log_sum),
                          .qkv = a.qkv.data<A>(),
                          .earlier = data_or_null<A>(a.earlier),
                          .capacity = a.earlier ? a.earlier.shape()[1] : 0,
                          .seen = int(a.seen),
                          .factor = float(1 / std::sqrt(double(grid.d))),
                          .fours = heads_in_fours<A>(grid.d, {a.out.data<A>(), a.qkv.data<A>(),
                                                              data_or_null<A>(a.earlier)}),
                          .grid = grid};
    if (grid.blocks() == 0) return;
    attention_tiles<<<grid.blocks(), kTileThreads, 0, stream>>>(task);
    launched("[attention]");
  });
}

}  // namespace tern::cuda
