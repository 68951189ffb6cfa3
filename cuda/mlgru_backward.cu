// The gated recurrence, backward: the same scan, from the last step to the first.
#include "cuda/column_sums.h"
#include "cuda/cuda_backend.h"
#include "cuda/gates.cuh"
#include "cuda/scan_launch.cuh"
#include "cuda/scan_rows.cuh"
#include "cuda/scan_tiles.cuh"
#include "cuda/time_scan.cuh"

namespace tern {

using namespace cuda;

namespace {

template <class A>
struct Target {
  A* to;
  bool add;
};

template <class A>
struct Backward {
  Target<A> df_in, dc_in;
  Target<float> dinitial;
  float* dbound;  // (B * parts, D), parts as in ScanCut
  const A* dh;
  const float* dlast;
  const A *h, *f_in, *c_in;
  const float *bound, *initial;
  ScanTiles tiles;  // chunk 0 is the last in time
  bool plain;       // dh is there, df_in and dc_in are wanted, and overwritten

  static constexpr int kWarps = kScanBackward.warps;
  static constexpr int R = kScanBackward.bytes / sizeof(A);  // steps of a warp
  static constexpr int kRows = R * int(kScanChannels);
  static constexpr int kStage = 4 * kRows;  // elements that it fetches of a tile
  // a tile without exceptions: all of it exists, and the step before each of its steps
  __device__ bool plain_tile(const ScanTile& tile) const {
    return plain && tiles.holds_all_of(tile) && (tile.chunk + 1) * tiles.steps < tiles.T;
  }
  __device__ int first_of(const ScanTile& tile) const {  // the warp's steps: this and those before
    return tiles.T - 1 - tile.chunk * tiles.steps - int(threadIdx.x) / 32 * R;
  }
};

// The warp's steps of f_in, dh, c_in, and h one step earlier. Steps before the first get f = 1 and
// dh = 0, which leave the gradient as it is.
template <bool aligned, bool all, class A>
__device__ inline void fetch_part(A* stage, const Backward<A>& a, const ScanTile& tile) {
  constexpr int R = Backward<A>::R, kRows = Backward<A>::kRows;
  ScanRows rows = ScanRows::at<aligned, A>(tile, a.tiles, a.first_of(tile), -1);
  fetch_rows<aligned, all, R>(stage, a.f_in, rows, INFINITY);
  fetch_rows<aligned, all, R>(stage + 2 * kRows, a.c_in, rows, 0);
  ScanRows earlier = rows;
  --earlier.first;
  earlier.offset -= rows.D;
  fetch_rows<aligned, all, R>(stage + 3 * kRows, a.h, earlier, 0);
  if (!a.dh) rows.T = 0;  // no row exists
  fetch_rows<aligned, all, R>(stage + kRows, a.dh, rows, 0);
}
template <bool aligned, class A>
__device__ inline void fetch(A* stage, const Backward<A>& a, const ScanTile& tile) {
  if (aligned && a.plain_tile(tile))
    fetch_part<aligned, aligned>(stage, a, tile);
  else if (tile.exists())
    fetch_part<aligned, false>(stage, a, tile);
  __pipeline_commit();
}

// sigmoid(f_in) of the lane's two channels at each of the warp's steps, and what the steps do to
// the gradient that arrives from the future: it becomes f * (itself + dh).
template <class A, int R>
__device__ inline void arriving(float (&s)[R][2], Link* link, const A* stage,
                                const float (&bound)[2]) {
  Link all[2] = {{1, 0}, {1, 0}};
#pragma unroll
  for (int r = 0; r < R; ++r) {
    float f_in[2], dh[2];
    load_gates(f_in, stage + r * kScanChannels);
    load_two(dh, stage + (R + r) * kScanChannels);
    sigmoid_pair<A>(s[r], f_in);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float f = fmaf(1 - bound[i], s[r][i], bound[i]);
      all[i] = {f * all[i].a, f * (all[i].u + dh[i])};
    }
  }
  link[0] = all[0];
  link[1] = all[1];
}

// One step of one channel: g is the gradient by h[t]. Returns what it becomes for h[t - 1], and
// dbound's part times 1 - bound.
struct StepGradients {
  float df_in, dc_in, dbound, before;

  // s_c = sigmoid(c_in)
  __device__ static StepGradients of(float g, float s, float c_in, float s_c, float before,
                                     float bound) {
    const float open = 1 - bound, closed = fmaf(-open, s, open);  // 1 - f
    const float c = c_in * s_c, by_c = g * closed, by_bound = by_c * (before - c);
    return {.df_in = by_bound * s,
            .dc_in = by_c * fmaf(c, 1 - s_c, s_c),
            .dbound = by_bound,
            .before = fmaf(open, s, bound) * g};
  }
};

// Writes the gradients of the warp's steps; `g` arrives from the future, and leaves for the past.
template <bool aligned, bool plain, class A, int R>
__device__ inline void write_gradients(const Backward<A>& a, const ScanTile& tile, const A* stage,
                                       const float (&bound)[2], float (&g)[2], float (&dbound)[2],
                                       const float (&s)[R][2]) {
  const int D = a.tiles.D, lane = int(threadIdx.x) % 32, first = a.first_of(tile);
  const int channel = tile.channel + 2 * lane, valid = plain ? 2 : D - channel;
  const Index at = tile.base + Index(first) * D + 2 * lane;
#pragma unroll
  for (int r = 0; r < R; ++r) {
    if (!plain && first < r) break;
    float dh[2], c_in[2], s_c[2], before[2], df_in[2], dc_in[2];
    load_two(dh, stage + (R + r) * kScanChannels + 2 * lane);
    load_gates(c_in, stage + (2 * R + r) * kScanChannels + 2 * lane);
    sigmoid_pair<A>(s_c, c_in);
    load_two(before, stage + (3 * R + r) * kScanChannels + 2 * lane);
    if (!plain && first == r)
      load_pair(before, a.initial ? a.initial + Index(tile.b) * D + channel : nullptr, valid);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const auto step =
          StepGradients::of(g[i] + dh[i], s[r][i], c_in[i], s_c[i], before[i], bound[i]);
      df_in[i] = step.df_in;
      dc_in[i] = step.dc_in;
      dbound[i] += step.dbound;
      g[i] = step.before;
    }
    if (plain || a.df_in.to)
      put_pair<aligned>(a.df_in.to + at - r * D, !plain && a.df_in.add, df_in, valid);
    if (plain || a.dc_in.to)
      put_pair<aligned>(a.dc_in.to + at - r * D, !plain && a.dc_in.add, dc_in, valid);
  }
  if (!plain && a.dinitial.to && first >= 0 && first < R)
    put_pair<false>(a.dinitial.to + Index(tile.b) * D + channel, a.dinitial.add, g, valid);
}

// Where a piece's part of dbound goes. A column that is walked has two parts: up to where another
// block takes it over, and from there; one that nobody takes over has an empty second part.
template <class A>
__device__ inline void put_dbound(const Backward<A>& a, const ScanTile& tile, int channel,
                                  float sum) {
  const Index D = a.tiles.D;
  if (!a.tiles.walks) {
    a.dbound[(Index(tile.chunk) * a.tiles.B + tile.b) * D + channel] = sum;
    return;
  }
  float* const to = a.dbound + Index(tile.b) * 2 * D + channel;
  to[tile.taken_over ? D : 0] = sum;
  if (!tile.taken_over && !tile.passed_on) to[D] = 0;
}

// A piece's part of dbound: the warps' sums, added in order.
template <class A, int warps>
__device__ inline void add_up(const Backward<A>& a, const ScanTile& tile,
                              float (&sums)[warps][kScanChannels], float (&dbound)[2]) {
  const int thread = int(threadIdx.x), channel = tile.channel + thread;
  for (int i = 0; i < 2; ++i) sums[thread / 32][thread % 32 * 2 + i] = dbound[i];
  dbound[0] = dbound[1] = 0;
  __syncthreads();
  if (thread >= int(kScanChannels) || channel >= a.tiles.D) return;
  float sum = 0;
  for (int w = 0; w < warps; ++w) sum += sums[w][thread];
  const float open = a.bound ? 1 - a.bound[channel] : 1.0f;
  put_dbound(a, tile, channel, sum / fmaxf(open, 1e-30f));  // a bound that rounded to 1: not 0 / 0
}

// A block takes tiles of 64 channels by 8 R steps, a warp R steps of them, a lane two channels; it
// fetches the next tile into shared memory while it works on one. 12 bytes an element in bf16
// through memory (four reads, two writes), and where there are few columns 32 for each channel of a
// chunk in words, their resetting and dbound: bandwidth bounds it. All sums are f32. Reproducible,
// as the forward scan; dbound is summed in pieces that depend on shape and device alone.
template <class A, bool aligned>
__global__ void __launch_bounds__(32 * kScanBackward.warps, kScanBackward.blocks)
    mlgru_backward_chunks(const __grid_constant__ Backward<A> a) {
  constexpr int R = Backward<A>::R, kStage = Backward<A>::kStage, kWarps = Backward<A>::kWarps;
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ Carry<kWarps> carry;
  __shared__ ScanTile tiles[4];  // of this turn, the next two, and the last
  __shared__ float dbounds[kWarps][kScanChannels];
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  A* const stages = reinterpret_cast<A*>(shared) + warp * 2 * kStage;
  float dbound[2] = {};
  ScanTurns turns(a.tiles, rank_of_block(a.tiles));
  for (int turn = 0; turn < 2; ++turn) {
    if (threadIdx.x == 0) tiles[turn] = turn == 0 ? turns.first() : turns.next(tiles[0]);
    __syncthreads();
    fetch<aligned>(stages + turn * kStage, a, tiles[turn]);
  }
  for (int turn = 0; tiles[turn % 4].exists(); ++turn) {
    const ScanTile& tile = tiles[turn % 4];
    const auto past = [&] { return Past(turns, a.tiles, tile, a.dlast); };
    A* const stage = stages + turn % 2 * kStage;
    const int channel = tile.channel + 2 * lane;
    const bool looks = warp == 0 && !tile.carried;
    Link before[2];
    if (looks) past().look(before);
    float bound[2], s[R][2], g[2];
    load_pair(bound, a.bound ? a.bound + channel : nullptr, a.tiles.D - channel);
    __pipeline_wait_prior(1);
    __syncwarp();
    arriving(s, &carry.link[turn % 2][warp][2 * lane], stage + 2 * lane, bound);
    if (threadIdx.x == 0) tiles[(turn + 2) % 4] = turns.next(tiles[(turn + 1) % 4]);
    if (looks) take_states(carry, turn % 2, past(), before);
    __syncthreads();
    enter_tile(g, carry, turn % 2, tile, past);
    if (aligned && a.plain_tile(tile))
      write_gradients<aligned, aligned>(a, tile, stage, bound, g, dbound, s);
    else
      write_gradients<aligned, false>(a, tile, stage, bound, g, dbound, s);
    __syncwarp();  // everybody has read the stage
    fetch<aligned>(stage, a, tiles[(turn + 2) % 4]);
    if (a.dbound && tile.ends) add_up(a, tile, dbounds, dbound);
  }
}

// they lie behind the words
float* dbound_parts(const Tensor& work, const ScanCut& cut) {
  return reinterpret_cast<float*>(static_cast<char*>(work.raw()) + scan_words_bytes(cut));
}

}  // namespace

void CudaBackend::run(const MlgruBackward& a) {
  const Tensor work = workspace(a);
  const ScanTiles tiles = scan_tiles(a.h, kScanBackward, work, traits_);
  const ScanCut cut = scan_cut(a.h, kScanBackward, traits_);
  float* const parts = a.dbound ? dbound_parts(work, cut) : nullptr;
  visit_real(a.h.dtype(), [&]<class A>() {
    const Backward<A> backward{.df_in = {data_or_null<A>(a.df_in.to), a.df_in.add},
                               .dc_in = {data_or_null<A>(a.dc_in.to), a.dc_in.add},
                               .dinitial = {data_or_null<float>(a.dinitial.to), a.dinitial.add},
                               .dbound = parts,
                               .dh = data_or_null<A>(a.dh),
                               .dlast = data_or_null<float>(a.dlast),
                               .h = a.h.data<A>(),
                               .f_in = a.f_in.data<A>(),
                               .c_in = a.c_in.data<A>(),
                               .bound = data_or_null<float>(a.bound),
                               .initial = data_or_null<float>(a.initial),
                               .tiles = tiles,
                               .plain = a.dh && a.df_in && a.dc_in && !a.df_in.add && !a.dc_in.add};
    const bool aligned =
        rows_aligned<A>(tiles.D, {backward.df_in.to, backward.dc_in.to, backward.dh, backward.h,
                                  backward.f_in, backward.c_in});
    const std::size_t shared = sizeof(A) * Backward<A>::kWarps * 2 * Backward<A>::kStage;
    launch_scan(aligned ? mlgru_backward_chunks<A, true> : mlgru_backward_chunks<A, false>,
                backward, kScanBackward, traits_, shared, stream_);
  });
  const Grad dbound[] = {a.dbound};
  add_column_sums(dbound, parts, tiles.B * cut.parts(), tiles.D, stream_);
}

}  // namespace tern
