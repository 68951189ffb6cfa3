// state[t] = a[t] * state[t - 1] + u[t] in one pass over memory. With many columns of tiles, blocks
// walk along them. With few, chunks of time are worked on at once, and each finds the state before
// it from what the chunks before have published so far ("decoupled look-back", Merrill and Garland
// 2016).
//
// For one channel of one chunk a single 64-bit word is published, so it needs neither flags nor
// fences: first what the chunk's steps do to the state; once the state before the chunk is known,
// the state after it. Either leads to the same bits: the same operations in the same order.
#pragma once

#include "cuda/scan_past.cuh"

namespace tern::cuda {

// What a block shares about a tile: turn by turn the one half of everything, then the other, so
// that one barrier in the middle of a turn suffices.
template <int warps>
struct alignas(16) Carry {
  Link link[2][warps][kScanChannels];  // what each warp's steps do
  float state[2][kScanChannels];       // before the tile
  bool known[2];                       // if not yet, it must be looked for
};

// Before the barrier, by the first warp: the states before the tile, if they were known in time.
// `before` was read when the turn began. A share that begins within a column waits for the share
// before it, which walked that column first.
template <int warps>
__device__ inline void take_states(Carry<warps>& carry, int half, const Past& past,
                                   Link (&before)[2]) {
  const int lane = int(threadIdx.x) % 32;
  const auto all_known = [&] {
    return __all_sync(kAllLanes, before[0].is_state() && before[1].is_state());
  };
  bool known = all_known();
  while (past.waits && !known) {
    past.look(before);
    known = all_known();
  }
  for (int i = 0; i < 2; ++i) carry.state[half][2 * lane + i] = before[i].u;
  if (lane == 0) carry.known[half] = known;
}

// After the barrier, by all warps: state = before the warp's steps, of the lane's two channels. The
// last warp passes on what comes after the tile. past() makes the tile's Past.
template <int warps, class MakePast>
__device__ inline void enter_tile(float (&state)[2], Carry<warps>& carry, int half,
                                  const ScanTile& tile, MakePast&& past) {
  const int warp = int(threadIdx.x) / 32, first = 2 * (int(threadIdx.x) % 32);
  const auto join = [&](Link(&all)[2], int w) {
    const float4 two = *reinterpret_cast<const float4*>(&carry.link[half][w][first]);
    all[0] = then(all[0], {two.x, two.y});
    all[1] = then(all[1], {two.z, two.w});
  };
  Link all[2] = {{1, 0}, {1, 0}};
#pragma unroll
  for (int w = 0; w < warps - 1; ++w)
    if (w < warp) join(all, w);
  const bool last = warp == warps - 1;
  if (!tile.carried && !carry.known[half]) {
    if (last) {
      Link whole[2] = {all[0], all[1]};
      join(whole, warp);
      for (int i = 0; i < 2; ++i) publish(past().words + first + i, whole[i]);
    }
    for (int c = 4 * warp; c < int(kScanChannels); c += 4 * warps)
      look_back(carry.state[half], c, past());
    __syncthreads();
  }
  const float2 before = *reinterpret_cast<const float2*>(&carry.state[half][first]);
  state[0] = all[0](before.x);
  state[1] = all[1](before.y);
  if (!last) return;
  join(all, warp);
  const float after[2] = {all[0](before.x), all[1](before.y)};
  for (int i = 0; i < 2; ++i) {
    if (!tile.ends) carry.state[half ^ 1][first + i] = after[i];
    if (tile.passed_on) publish(past().words + first + i, {0, after[i]});
  }
}

}  // namespace tern::cuda
