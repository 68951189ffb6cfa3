// The gated recurrence, forward.
#include "cuda/backend/cuda_backend.h"
#include "cuda/common/gates.cuh"
#include "cuda/scan/scan_rows.cuh"
#include "cuda/scan/scan_tiles.cuh"
#include "cuda/scan/time_scan.cuh"

namespace tern {

using namespace cuda;

namespace {

template <class A>
struct Forward {
  A* h;
  float* last;
  const A *f_in, *c_in;
  const float *bound, *initial;
  ScanTiles tiles;

  static constexpr int kWarps = kScanForward.warps;
  static constexpr int R = kScanForward.bytes / sizeof(A);   // steps of a warp
  static constexpr int kStage = 2 * R * int(kScanChannels);  // elements that it fetches of a tile

  __device__ ScanRows first_rows(const ScanPlace& place) const {
    const int first = tiles.first(place, R);
    return {.first = first,
            .T = tiles.T,
            .channels = tiles.D - place.channel,
            .stride = tiles.D,
            .offset = place.base + Index(first) * tiles.D};
  }
};

// The warp's steps of f_in, then of c_in.
template <bool aligned, bool whole, class A>
__device__ inline void fetch_rows_of(A* stage, const Forward<A>& a, const ScanRows& rows) {
  constexpr int R = Forward<A>::R;
  fetch_rows<aligned, whole, R>(stage, a.f_in, rows);
  fetch_rows<aligned, whole, R>(stage + R * kScanChannels, a.c_in, rows);
}
template <bool aligned, class A>
__device__ inline void fetch(A* stage, const Forward<A>& a, const ScanRows& rows) {
  if (aligned && rows.whole(Forward<A>::R))
    fetch_rows_of<aligned, aligned>(stage, a, rows);
  else if (rows.exist())
    fetch_rows_of<aligned, false>(stage, a, rows);
  __pipeline_commit();
}

// f and u of the lane's two channels at each of the warp's steps, and what all of them do.
template <class A, int R>
__device__ inline void gates(float (&f)[R][2], float (&u)[R][2], Link (&link)[2], const A* stage,
                             const float (&open)[2]) {
#pragma unroll
  for (int r = 0; r < R; ++r) {
    float f_in[2], c_in[2];
    load_gates(f_in, stage + r * kScanChannels);
    load_gates(c_in, stage + (R + r) * kScanChannels);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      gate_step<A>(f[r][i], u[r][i], f_in[i], c_in[i], open[i]);
      const Link step{f[r][i], u[r][i]};
      link[i] = r == 0 ? step : then(link[i], step);
    }
  }
}

template <bool aligned, bool whole, class A, int R>
__device__ inline void write_states(const Forward<A>& a, const ScanPlace& place,
                                    const ScanRows& rows, float (&state)[2], const float (&f)[R][2],
                                    const float (&u)[R][2]) {
  const int channel = 2 * place.lane, valid = whole ? 2 : rows.channels - channel;
  A* const to = a.h + (rows.offset + channel);
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int i = 0; i < 2; ++i) state[i] = fmaf(f[r][i], state[i], u[r][i]);
    if (whole || rows.first + r < rows.T)
      put_pair<aligned>(to + Index(rows.stride) * r, false, state, valid);
    if (!whole && a.last && rows.first + r + 1 == rows.T)
      put_pair<false>(a.last + Index(place.b) * a.tiles.D + place.channel + channel, false, state,
                      valid);
  }
}

// A cluster walks along a column (time_scan.cuh). A group of warps takes a tile of 64 channels, a
// warp R steps of it, a lane two channels; it fetches the tile after the next into shared memory
// while it works on one. 6 bytes an element in bf16 through memory (two reads, one write), which
// bounds it, with 3 special functions an element at half of their rate. States and products are
// f32. Reproducible: the cut depends on shape and device alone.
template <class A, bool aligned>
__global__ void __launch_bounds__(32 * kScanForward.warps * kScanForward.groups, 1)
    mlgru_columns(const __grid_constant__ Forward<A> a) {
  constexpr int R = Forward<A>::R, kStage = Forward<A>::kStage, kWarps = Forward<A>::kWarps;
  extern __shared__ __align__(16) unsigned char shared[];
  const ScanPlace place = a.tiles.template place<kWarps>();
  A* const all_stages = reinterpret_cast<A*>(shared);
  A* const stages = all_stages + (place.group * kWarps + place.warp) * kScanStages * kStage;
  const int D = a.tiles.D, ahead = a.tiles.ahead(), channel = place.channel + 2 * place.lane;
  ScanStates<kWarps> states(all_stages + a.tiles.groups * kWarps * kScanStages * kStage, a.tiles,
                            place, a.initial);
  float open[2];
  load_pair(open, a.bound ? a.bound + channel : nullptr, D - channel);
  for (float& x : open) x = 1 - x;
  ScanRows rows = a.first_rows(place);
  for (int i = 0; i < kScanStages; ++i)
    fetch<aligned>(stages + i * kStage, a, rows.after(i * ahead));
  for (int round = 0; states.turn(round) < a.tiles.turns; ++round, rows = rows.after(ahead)) {
    A* const stage = stages + round % kScanStages * kStage;
    float f[R][2], u[R][2], state[2];
    Link link[2];
    __pipeline_wait_prior(kScanStages - 1);
    __syncwarp();
    gates(f, u, link, stage + 2 * place.lane, open);
    states.link(link);
    if (states.folds()) states.fold(round);
    __syncwarp();  // all lanes have read the stage
    fetch<aligned>(stage, a, rows.after(int(kScanStages) * ahead));
    states.states(state);
    if (aligned && rows.whole(R))
      write_states<aligned, aligned>(a, place, rows, state, f, u);
    else if (rows.exist())
      write_states<aligned, false>(a, place, rows, state, f, u);
  }
}

// A thread walks the few steps of one channel; for generation, where launches count and bytes do
// not: 6 bytes an element in bf16, latency bounds it. f32; reproducible.
template <class A>
__global__ void mlgru_steps(Forward<A> a) {
  const int T = a.tiles.T, D = a.tiles.D;
  const Index line = Index(blockIdx.x) * blockDim.x + threadIdx.x;  // (b, channel)
  if (line >= Index(a.tiles.B) * D) return;
  const Index b = line / D, d = line % D;
  const float open = 1 - (a.bound ? a.bound[d] : 0.0f);
  float state = a.initial ? a.initial[line] : 0.0f;
  for (int t = 0; t < T; ++t) {
    const Index at = (b * T + t) * D + d;
    float f, u;
    gate_step<float>(f, u, to_float(a.f_in[at]), to_float(a.c_in[at]), open);
    state = fmaf(f, state, u);
    a.h[at] = from_float<A>(state);
  }
  if (a.last) a.last[line] = state;
}

}  // namespace

void CudaBackend::run(const Mlgru& a) {
  visit_real(a.h.dtype(), [&]<class A>() {
    const Forward<A> forward{.h = a.h.data<A>(),
                             .last = data_or_null<float>(a.last),
                             .f_in = a.f_in.data<A>(),
                             .c_in = a.c_in.data<A>(),
                             .bound = data_or_null<float>(a.bound),
                             .initial = data_or_null<float>(a.initial),
                             .tiles = scan_tiles(a.h, kScanForward, traits_)};
    if (forward.tiles.T <= kSequentialSteps) {
      const int blocks = blocks_for(Index(forward.tiles.B) * forward.tiles.D, 128);
      mlgru_steps<<<blocks, 128, 0, stream_>>>(forward);
      return launched("[mlgru]");
    }
    const bool aligned = rows_aligned<A>(forward.tiles.D, {forward.h, forward.f_in, forward.c_in});
    launch_scan(aligned ? mlgru_columns<A, true> : mlgru_columns<A, false>, forward, kScanForward,
                stream_);
  });
}

}  // namespace tern
