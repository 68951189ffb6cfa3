// The gated recurrence, forward.
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
struct Forward {
  A* h;
  float* last;
  const A *f_in, *c_in;
  const float *bound, *initial;
  ScanTiles tiles;

  static constexpr int kWarps = kScanForward.warps;
  static constexpr int R = kScanForward.bytes / sizeof(A);   // steps of a warp
  static constexpr int kStage = 2 * R * int(kScanChannels);  // elements that it fetches of a tile
};

// The warp's steps of f_in, then of c_in. Steps after the last become f = 1, c = 0: they leave the
// state as it is.
template <bool aligned, bool all, class A>
__device__ inline void fetch_part(A* stage, const Forward<A>& a, const ScanTile& tile) {
  constexpr int R = Forward<A>::R;
  const int first = tile.chunk * a.tiles.steps + int(threadIdx.x) / 32 * R;
  const ScanRows rows = ScanRows::at<aligned, A>(tile, a.tiles, first, 1);
  fetch_rows<aligned, all, R>(stage, a.f_in, rows, INFINITY);
  fetch_rows<aligned, all, R>(stage + R * kScanChannels, a.c_in, rows, 0);
}
template <bool aligned, class A>
__device__ inline void fetch(A* stage, const Forward<A>& a, const ScanTile& tile) {
  if (aligned && a.tiles.holds_all_of(tile))
    fetch_part<aligned, aligned>(stage, a, tile);
  else if (tile.exists())
    fetch_part<aligned, false>(stage, a, tile);
  __pipeline_commit();
}

// f and u = (1 - f) c of the lane's two channels at each of the warp's steps.
template <class A, int R>
__device__ inline void gates(float (&f)[R][2], float (&u)[R][2], const A* stage,
                             const float (&bound)[2]) {
#pragma unroll
  for (int r = 0; r < R; ++r) {
    float f_in[2], c_in[2];
    load_gates(f_in, stage + r * kScanChannels);
    load_gates(c_in, stage + (R + r) * kScanChannels);
    sigmoid_pair<A>(f[r], f_in);
    sigmoid_pair<A>(u[r], c_in);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      f[r][i] = fmaf(1 - bound[i], f[r][i], bound[i]);
      u[r][i] *= c_in[i] * (1 - f[r][i]);
    }
  }
}

// What the warp's steps do to the lane's two channels.
template <int R>
__device__ inline void join_steps(Link* link, const float (&f)[R][2], const float (&u)[R][2]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    Link all{f[0][i], u[0][i]};
#pragma unroll
    for (int r = 1; r < R; ++r) all = then(all, {f[r][i], u[r][i]});
    link[i] = all;
  }
}

template <bool aligned, bool all, class A, int R>
__device__ inline void write_states(const Forward<A>& a, const ScanTile& tile, float (&state)[2],
                                    const float (&f)[R][2], const float (&u)[R][2]) {
  const int T = a.tiles.T, D = a.tiles.D, lane = int(threadIdx.x) % 32;
  const int first = tile.chunk * a.tiles.steps + int(threadIdx.x) / 32 * R;
  const int channel = tile.channel + 2 * lane, valid = all ? 2 : D - channel;
  A* const to = a.h + (tile.base + Index(first) * D + 2 * lane);
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int i = 0; i < 2; ++i) state[i] = fmaf(f[r][i], state[i], u[r][i]);
    if (all || first + r < T) put_pair<aligned>(to + r * D, false, state, valid);
  }
  if (a.last && first < T && first + R >= T)
    put_pair<false>(a.last + Index(tile.b) * D + channel, false, state, valid);
}

// A block takes tiles of 64 channels by 8 R steps, a warp R steps of them, a lane two channels; it
// fetches the next tile into shared memory while it works on one. 6 bytes an element in bf16
// through memory (two reads, one write), and where there are few columns 24 for each channel of a
// chunk in words and their resetting: bandwidth bounds it, with 3 special functions an element not
// far behind. States and products are f32. Reproducible: the grouping into warps and chunks depends
// on the shape alone, and the result not on whose words are read when.
template <class A, bool aligned>
__global__ void __launch_bounds__(32 * kScanForward.warps, kScanForward.blocks)
    mlgru_chunks(const __grid_constant__ Forward<A> a) {
  constexpr int R = Forward<A>::R, kStage = Forward<A>::kStage;
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ Carry<Forward<A>::kWarps> carry;
  __shared__ ScanTile tiles[4];  // of this turn, the next two, and the last
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  A* const stages = reinterpret_cast<A*>(shared) + warp * 2 * kStage;
  ScanTurns turns(a.tiles, rank_of_block(a.tiles));
  for (int turn = 0; turn < 2; ++turn) {
    if (threadIdx.x == 0) tiles[turn] = turn == 0 ? turns.first() : turns.next(tiles[0]);
    __syncthreads();
    fetch<aligned>(stages + turn * kStage, a, tiles[turn]);
  }
  for (int turn = 0; tiles[turn % 4].exists(); ++turn) {
    const ScanTile& tile = tiles[turn % 4];
    const auto past = [&] { return Past(turns, a.tiles, tile, a.initial); };
    A* const stage = stages + turn % 2 * kStage;
    const int channel = tile.channel + 2 * lane;
    const bool looks = warp == 0 && !tile.carried;
    Link before[2];
    if (looks) past().look(before);
    float bound[2], f[R][2], u[R][2], state[2];
    load_pair(bound, a.bound ? a.bound + channel : nullptr, a.tiles.D - channel);
    __pipeline_wait_prior(1);
    __syncwarp();
    gates(f, u, stage + 2 * lane, bound);
    join_steps(&carry.link[turn % 2][warp][2 * lane], f, u);
    if (threadIdx.x == 0) tiles[(turn + 2) % 4] = turns.next(tiles[(turn + 1) % 4]);
    if (looks) take_states(carry, turn % 2, past(), before);
    __syncthreads();
    fetch<aligned>(stage, a, tiles[(turn + 2) % 4]);
    enter_tile(state, carry, turn % 2, tile, past);
    if (aligned && a.tiles.holds_all_of(tile))
      write_states<aligned, aligned>(a, tile, state, f, u);
    else
      write_states<aligned, false>(a, tile, state, f, u);
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
  const float bound = a.bound ? a.bound[d] : 0.0f;
  float state = a.initial ? a.initial[line] : 0.0f;
  for (int t = 0; t < T; ++t) {
    const Index at = (b * T + t) * D + d;
    const float f = fmaf(1 - bound, sigmoid(to_float(a.f_in[at])), bound), c = to_float(a.c_in[at]);
    state = fmaf(f, state, (1 - f) * (c * sigmoid(c)));
    a.h[at] = from_float<A>(state);
  }
  if (a.last) a.last[line] = state;
}

}  // namespace

void CudaBackend::run(const Mlgru& a) {
  const Tensor work = workspace(a);
  visit_real(a.h.dtype(), [&]<class A>() {
    const Forward<A> forward{.h = a.h.data<A>(),
                             .last = data_or_null<float>(a.last),
                             .f_in = a.f_in.data<A>(),
                             .c_in = a.c_in.data<A>(),
                             .bound = data_or_null<float>(a.bound),
                             .initial = data_or_null<float>(a.initial),
                             .tiles = scan_tiles(a.h, kScanForward, work, traits_)};
    if (forward.tiles.T <= kSequentialSteps) {
      const int blocks = blocks_for(Index(forward.tiles.B) * forward.tiles.D, 128);
      mlgru_steps<<<blocks, 128, 0, stream_>>>(forward);
      return launched("[mlgru]");
    }
    const bool aligned = rows_aligned<A>(forward.tiles.D, {forward.h, forward.f_in, forward.c_in});
    const std::size_t shared = sizeof(A) * Forward<A>::kWarps * 2 * Forward<A>::kStage;
    launch_scan(aligned ? mlgru_chunks<A, true> : mlgru_chunks<A, false>, forward, kScanForward,
                traits_, shared, stream_);
  });
}

}  // namespace tern
