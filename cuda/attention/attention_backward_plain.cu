// Causal attention, backward, any size: probabilities are computed again from log_sum.
#include "cuda/attention/attention_kernels.h"
#include "cuda/attention/head_tiles.cuh"

namespace tern::cuda {
namespace {

template <class A>
struct Backward {
  A* dqkv;
  bool add;
  const A *dout, *qkv;
  const float *log_sum, *e;
  float factor;  // 1 / sqrt(d)
  bool fours;
  HeadGrid grid;

  // q, k or v's gradient of that head
  __device__ A* gradient(const HeadGrid::Place& at, int part) const {
    return dqkv + at.b * grid.T * 3 * grid.D() + (part * grid.heads + at.head) * Index(grid.d);
  }
  // p and ds of one pair, from its q . k and dout . v; zeros where the query does not see the key
  __device__ void weigh(float& score, float& slope, int query, int key, float log_sum_of_query,
                        float e_of_query) const {
    const bool sees = key <= query && query < grid.T;
    score = sees ? expf(score * factor - log_sum_of_query) : 0;
    slope = sees ? score * (slope - e_of_query) * factor : 0;
  }
};

// e[t] = dout[t] . out[t]: a warp owns one head of one row. Reads both once, which bounds it. f32;
// reproducible: fixed tree.
template <class A>
__global__ void __launch_bounds__(256)
    row_dots(float* e, const A* dout, const A* out, Index rows, HeadGrid grid) {
  const Index work = Index(blockIdx.x) * 8 + threadIdx.x / 32;
  if (work >= rows) return;  // (b, t, head)
  const Index n = work / grid.heads, head = work % grid.heads;
  const Index first = work * grid.d;
  float sum = 0;
  for (int c = int(threadIdx.x) % 32; c < grid.d; c += 32)
    sum = fmaf(to_float(dout[first + c]), to_float(out[first + c]), sum);
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(kAllLanes, sum, offset);
  if (threadIdx.x % 32 == 0) e[(n / grid.T * grid.heads + head) * grid.T + n % grid.T] = sum;
}

// A block owns 64 queries of a head and 128 channels of dq; it walks over tiles of keys up to its
// own. 6 d FLOP a pair in f32 outside of the tensor cores, which bounds it. Reproducible: sums go
// by the tiles in order.
template <class A>
__global__ void __launch_bounds__(kTileThreads, 2)
    query_gradients(const __grid_constant__ Backward<A> a) {
  __shared__ TileMemory memory;
  const HeadGrid::Place at = a.grid.place();
  const int first = (a.grid.tiles - 1 - at.turn) * kTile;
  const HeadRows<A> q = a.grid.packed(a.qkv, at, 0, a.fours),
                    k = a.grid.packed(a.qkv, at, 1, a.fours),
                    v = a.grid.packed(a.qkv, at, 2, a.fours),
                    dout = a.grid.plain(a.dout, at, a.fours);
  float log_sum[4], e[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int t = min(first + tile_row() + i, a.grid.T - 1);
    log_sum[i] = a.log_sum[a.grid.statistics(at) + t];
    e[i] = a.e[a.grid.statistics(at) + t];
  }
  SlabPart dq = {};
  for (int key = 0; key <= first; key += kTile) {
    float scores[4][4], slopes[4][4];
    multiply_rows(scores, q, first, k, key, memory);
    multiply_rows(slopes, dout, first, v, key, memory);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        a.weigh(scores[i][j], slopes[i][j], first + tile_row() + i, key + tile_column() + j,
                log_sum[i], e[i]);
    write_weights(slopes, memory);
    add_weighted_rows(dq, k, key, at.channel, memory);
  }
  put_slab(a.gradient(at, 0), 3 * a.grid.D(), first, a.grid.T, at.channel, a.grid.d, a.fours, a.add,
           dq);
}

// A block owns 64 keys of a head and 128 channels of dk and dv; it walks over tiles of queries from
// its own on. 8 d FLOP a pair, bounded and reproducible as above.
template <class A>
__global__ void __launch_bounds__(kTileThreads, 2)
    key_gradients(const __grid_constant__ Backward<A> a) {
  __shared__ TileMemory memory;
  const HeadGrid::Place at = a.grid.place();
  const int first = at.turn * kTile;
  const HeadRows<A> q = a.grid.packed(a.qkv, at, 0, a.fours),
                    k = a.grid.packed(a.qkv, at, 1, a.fours),
                    v = a.grid.packed(a.qkv, at, 2, a.fours),
                    dout = a.grid.plain(a.dout, at, a.fours);
  SlabPart dk = {}, dv = {};
  for (int query = first; query < a.grid.T; query += kTile) {
    float scores[4][4], slopes[4][4];  // (keys, queries)
    multiply_rows(scores, k, first, q, query, memory);
    multiply_rows(slopes, v, first, dout, query, memory);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int t = query + tile_column() + j;
      const Index statistics = a.grid.statistics(at) + min(t, a.grid.T - 1);
      const float log_sum = a.log_sum[statistics], e = a.e[statistics];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        a.weigh(scores[i][j], slopes[i][j], t, first + tile_row() + i, log_sum, e);
    }
    write_weights(scores, memory);
    add_weighted_rows(dv, dout, query, at.channel, memory);
    __syncthreads();
    write_weights(slopes, memory);
    add_weighted_rows(dk, q, query, at.channel, memory);
  }
  const Index stride = 3 * a.grid.D();
  put_slab(a.gradient(at, 1), stride, first, a.grid.T, at.channel, a.grid.d, a.fours, a.add, dk);
  put_slab(a.gradient(at, 2), stride, first, a.grid.T, at.channel, a.grid.d, a.fours, a.add, dv);
}

}  // namespace

void plain_attention_backward(const AttentionBackward& a, float* e, cudaStream_t stream) {
  visit_real(a.dout.dtype(), [&]<class A>() {
    const HeadGrid grid(a.dout, a.heads);
    const Index rows = grid.B * grid.T * grid.heads;
    if (rows == 0) return;
    const Backward<A> task{.dqkv = a.dqkv.to.data<A>(),
                           .add = a.dqkv.add,
                           .dout = a.dout.data<A>(),
                           .qkv = a.qkv.data<A>(),
                           .log_sum = a.log_sum.data<float>(),
                           .e = e,
                           .factor = float(1 / std::sqrt(double(grid.d))),
                           .fours = heads_in_fours<A>(
                               grid.d, {a.dqkv.to.data<A>(), a.dout.data<A>(), a.qkv.data<A>()}),
                           .grid = grid};
    row_dots<<<blocks_for(rows, 8), 256, 0, stream>>>(e, a.dout.data<A>(), a.out.data<A>(), rows,
                                                      grid);
    query_gradients<<<grid.blocks(), kTileThreads, 0, stream>>>(task);
    key_gradients<<<grid.blocks(), kTileThreads, 0, stream>>>(task);
    launched("[attention_backward]");
  });
}

}  // namespace tern::cuda
