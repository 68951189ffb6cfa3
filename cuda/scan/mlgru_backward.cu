// The gated recurrence, backward: the same scan, from the last step to the first.
#include "cuda/backend/cuda_backend.h"
#include "cuda/common/column_sum.cuh"
#include "cuda/common/gates.cuh"
#include "cuda/scan/scan_rows.cuh"
#include "cuda/scan/scan_tiles.cuh"
#include "cuda/scan/time_scan.cuh"

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
  float* dbound;  // (B * blocks, D), blocks as in ScanCut
  const A* dh;
  const float* dlast;
  const A *h, *f_in, *c_in;
  const float *bound, *initial;
  ScanTiles tiles;  // step 0 is the last in time
  bool plain;       // dh is there, df_in and dc_in are wanted, and overwritten

  static constexpr int kWarps = kScanBackward.warps;
  static constexpr int R = kScanBackward.bytes / sizeof(A);  // steps of a warp
  static constexpr int kRows = R * int(kScanChannels);
  static constexpr int kStage = 4 * kRows;  // elements that it fetches of a tile

  __device__ ScanRows first_rows(const ScanPlace& place) const {
    const int first = tiles.first(place, R);
    return {.first = first,
            .T = tiles.T,
            .channels = tiles.D - place.channel,
            .stride = -tiles.D,
            .offset = place.base + Index(tiles.T - 1 - first) * tiles.D};
  }
  __device__ bool whole(const ScanRows& rows) const { return plain && rows.whole(R); }
};

// The warp's steps of f_in, dh, c_in, and h one step earlier.
template <bool aligned, bool whole, class A>
__device__ inline void fetch_rows_of(A* stage, const Backward<A>& a, ScanRows rows) {
  constexpr int R = Backward<A>::R, kRows = Backward<A>::kRows;
  fetch_rows<aligned, whole, R>(stage, a.f_in, rows);
  fetch_rows<aligned, whole, R>(stage + 2 * kRows, a.c_in, rows);
  fetch_rows<aligned, whole, R>(stage + 3 * kRows, a.h, rows.after(1));
  if (!whole && !a.dh) rows.T = 0;  // no row exists
  fetch_rows<aligned, whole, R>(stage + kRows, a.dh, rows);
}
template <bool aligned, class A>
__device__ inline void fetch(A* stage, const Backward<A>& a, const ScanRows& rows) {
  if (aligned && a.whole(rows))
    fetch_rows_of<aligned, aligned>(stage, a, rows);
  else if (rows.exist())
    fetch_rows_of<aligned, false>(stage, a, rows);
  __pipeline_commit();
}

// What a lane keeps of each step for its two channels: sigmoid(f_in) and 1 - f.
template <int R>
struct Closing {
  float s[R][2], closed[R][2];
};

// What the warp's steps do to the gradient that arrives from the future: it becomes f * (itself +
// dh).
template <class A, int R>
__device__ inline void arriving(Closing<R>& gate, Link (&link)[2], const A* stage,
                                const float (&open)[2]) {
  link[0] = link[1] = {1, 0};
#pragma unroll
  for (int r = 0; r < R; ++r) {
    float f_in[2], dh[2];
    load_gates(f_in, stage + r * kScanChannels);
    load_two(dh, stage + (R + r) * kScanChannels);
    gate_pair<A>(gate.s[r], gate.closed[r], f_in, open);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float closed = gate.closed[r][i], sum = link[i].u + dh[i];
      link[i] = {fmaf(-closed, link[i].a, link[i].a), fmaf(-closed, sum, sum)};
    }
  }
}

// One step of one channel: g is the gradient by h[t].
struct StepGradients {
  float df_in, dc_in;
  float dbound;  // its part, times 1 - bound
  float before;  // what g becomes for h[t - 1]

  // s_c = sigmoid(c_in)
  __device__ static StepGradients of(float g, float s, float closed, float c_in, float s_c,
                                     float before) {
    const float c = c_in * s_c, by_c = g * closed, by_bound = by_c * (before - c);
    return {.df_in = by_bound * s,
            .dc_in = by_c * fmaf(c, 1 - s_c, s_c),
            .dbound = by_bound,
            .before = g - by_c};
  }
};

// Writes the gradients of the warp's steps; `g` arrives from the future.
template <bool aligned, bool plain, class A, int R>
__device__ inline void write_gradients(const Backward<A>& a, const ScanPlace& place,
                                       const ScanRows& rows, const A* stage, float (&g)[2],
                                       float (&dbound)[2], const Closing<R>& gate) {
  const int channel = 2 * place.lane, valid = plain ? 2 : rows.channels - channel;
  const Index at = rows.offset + channel,
              line = Index(place.b) * a.tiles.D + place.channel + channel;
#pragma unroll
  for (int r = 0; r < R; ++r) {
    if (!plain && rows.first + r >= rows.T) break;
    const bool first_in_time = !plain && rows.first + r + 1 == rows.T;
    float dh[2], c_in[2], s_c[2], before[2], df_in[2], dc_in[2];
    load_two(dh, stage + (R + r) * kScanChannels);
    load_gates(c_in, stage + (2 * R + r) * kScanChannels);
    sigmoid_pair<A>(s_c, c_in);
    load_two(before, stage + (3 * R + r) * kScanChannels);
    if (first_in_time) load_pair(before, a.initial ? a.initial + line : nullptr, valid);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const auto step = StepGradients::of(g[i] + dh[i], gate.s[r][i], gate.closed[r][i], c_in[i],
                                          s_c[i], before[i]);
      df_in[i] = step.df_in;
      dc_in[i] = step.dc_in;
      dbound[i] += step.dbound;
      g[i] = step.before;
    }
    if (plain || a.df_in.to)
      put_pair<aligned>(a.df_in.to + at + Index(rows.stride) * r, !plain && a.df_in.add, df_in,
                        valid);
    if (plain || a.dc_in.to)
      put_pair<aligned>(a.dc_in.to + at + Index(rows.stride) * r, !plain && a.dc_in.add, dc_in,
                        valid);
    if (first_in_time && a.dinitial.to)
      put_pair<false>(a.dinitial.to + line, a.dinitial.add, g, valid);
  }
}

// The block's part of dbound: its warps' sums, each in the warp's stages, added in order.
template <class A>
__device__ inline void add_up(const Backward<A>& a, const ScanPlace& place, A* all_stages,
                              const float (&dbound)[2]) {
  const int thread = int(threadIdx.x), channel = place.channel + thread;
  const auto sums_of = [&](int warp) {
    return reinterpret_cast<float*>(all_stages + warp * int(kScanStages) * Backward<A>::kStage);
  };
  for (int i = 0; i < 2; ++i) sums_of(thread / 32)[2 * place.lane + i] = dbound[i];
  __syncthreads();
  if (thread >= int(kScanChannels) || channel >= a.tiles.D) return;
  float sum = 0;
  for (int w = 0; w < int(blockDim.x) / 32; ++w) sum += sums_of(w)[thread];
  const float open = a.bound ? 1 - a.bound[channel] : 1.0f;
  a.dbound[(Index(place.b) * a.tiles.blocks + place.block) * a.tiles.D + channel] =
      sum / fmaxf(open, 1e-30f);  // a bound that rounded to 1: not 0 / 0
}

// A cluster walks along a column, as in the forward scan, from the last step to the first. 12 bytes
// an element in bf16 through memory (four reads, two writes), which bounds it. All sums are f32.
// Reproducible: the cut, and with it the order of dbound's sum, depends on shape and device alone.
template <class A, bool aligned>
__global__ void __launch_bounds__(32 * kScanBackward.warps * kScanBackward.groups, 1)
    mlgru_backward_columns(const __grid_constant__ Backward<A> a) {
  constexpr int R = Backward<A>::R, kStage = Backward<A>::kStage, kWarps = Backward<A>::kWarps;
  extern __shared__ __align__(16) unsigned char shared[];
  const ScanPlace place = a.tiles.template place<kWarps>();
  A* const all_stages = reinterpret_cast<A*>(shared);
  A* const stages = all_stages + (place.group * kWarps + place.warp) * kScanStages * kStage;
  const int D = a.tiles.D, ahead = a.tiles.ahead(), channel = place.channel + 2 * place.lane;
  ScanStates<kWarps> states(all_stages + a.tiles.groups * kWarps * kScanStages * kStage, a.tiles,
                            place, a.dlast);
  float open[2], dbound[2] = {};
  load_pair(open, a.bound ? a.bound + channel : nullptr, D - channel);
  for (float& x : open) x = 1 - x;
  ScanRows rows = a.first_rows(place);
  for (int i = 0; i < kScanStages; ++i)
    fetch<aligned>(stages + i * kStage, a, rows.after(i * ahead));
  for (int round = 0; states.turn(round) < a.tiles.turns; ++round, rows = rows.after(ahead)) {
    A* const stage = stages + round % kScanStages * kStage;
    Closing<R> gate;
    float g[2];
    Link link[2];
    __pipeline_wait_prior(kScanStages - 1);
    __syncwarp();
    arriving<A>(gate, link, stage + 2 * place.lane, open);
    states.link(link);
    if (states.folds()) states.fold(round);
    states.states(g);
    if (aligned && a.whole(rows))
      write_gradients<aligned, aligned>(a, place, rows, stage + 2 * place.lane, g, dbound, gate);
    else if (rows.exist())
      write_gradients<aligned, false>(a, place, rows, stage + 2 * place.lane, g, dbound, gate);
    __syncwarp();  // all lanes have read the stage
    fetch<aligned>(stage, a, rows.after(int(kScanStages) * ahead));
  }
  if (a.dbound) add_up(a, place, all_stages, dbound);
}

}  // namespace

void CudaBackend::run(const MlgruBackward& a) {
  const Tensor work = workspace(a);
  const ScanTiles tiles = scan_tiles(a.h, kScanBackward, traits_);
  float* const parts = a.dbound ? static_cast<float*>(work.raw()) : nullptr;
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
    launch_scan(aligned ? mlgru_backward_columns<A, true> : mlgru_backward_columns<A, false>,
                backward, kScanBackward, stream_);
  });
  const Grad dbound[] = {a.dbound};
  add_column_sums(dbound, parts, Index(tiles.B) * tiles.blocks, tiles.D, stream_);
}

}  // namespace tern
