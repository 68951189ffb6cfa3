// Where the states before a tile of a scan over time come from.
#pragma once

#include "cuda/scan_links.cuh"
#include "cuda/scan_turns.cuh"

namespace tern::cuda {

// Where a tile's states come from and go to; pointers are to the tile's first channel.
struct Past {
  std::uint64_t* words;  // of the tile; the tile before has its own `stride` words earlier
  Index stride;
  int chunk;
  const float* initial;  // or null: zeros
  int channels;          // that exist
  bool waits;            // the words before will hold a state, and nothing else

  __device__ Past(const ScanTurns& turns, const ScanTiles& tiles, const ScanTile& tile,
                  const float* all_initial)
      : words(turns.links_of(tile)),
        stride(turns.stride()),
        chunk(tile.chunk),
        initial(all_initial ? all_initial + Index(tile.b) * tiles.D + tile.channel : nullptr),
        channels(tiles.D - tile.channel),
        waits(tiles.walks) {}

  __device__ Link look(int channel, int back) const {
    if (back <= chunk) return read_link(words + channel - back * stride);
    return {0, back == chunk + 1 && initial && channel < channels ? initial[channel] : 0.0f};
  }
  // the lane's two channels, one chunk back
  __device__ void look(Link (&before)[2]) const {
    for (int i = 0; i < 2; ++i) before[i] = look(2 * (int(threadIdx.x) % 32) + i, 1);
  }
};

// A warp's lanes c, c + 4, ... look for the state of channel first + c in the words of the 16
// chunks before. Those are in work already, as tiles are taken in order, and wait for nobody after
// them: so the wait ends. A word is read again only while it is unpublished, or the last of the 16
// and not a state yet.
__device__ inline void look_back(float* states, int first, const Past& past) {
  const int lane = int(threadIdx.x) % 32, channel = first + lane % 4, back = lane / 4 + 1;
  Link near = past.look(channel, back), far = past.look(channel, back + 8);
  while (!reaches_states(near, far)) {
    if (!near.is_published()) near = past.look(channel, back);
    if (!far.is_published() || (back == 8 && !far.is_state())) far = past.look(channel, back + 8);
  }
  float state = 0;  // whatever comes before the nearest state is forgotten there
  for (int i = 7; i >= 0; --i) state = shuffle(far, 4 * i + lane % 4)(state);
  for (int i = 7; i >= 0; --i) state = shuffle(near, 4 * i + lane % 4)(state);
  if (lane < 4) states[channel] = state;
}

}  // namespace tern::cuda
