// state[t] = a[t] * state[t - 1] + u[t] in one pass over memory: chunks of time are worked on at
// once, and each finds the state before it from what the chunks before have published so far
// ("decoupled look-back", Merrill and Garland 2016).
//
// For one channel of one chunk a single 64-bit word is published, so it needs neither flags nor
// fences: first what the chunk's steps do to the state; once the state before the chunk is known,
// the state after it. Either leads to the same bits: the same operations in the same order.
#pragma once

#include <cuda/atomic>

#include "core/workspace.h"
#include "cuda/device.cuh"

namespace tern::cuda {

// Some steps: state after = a * state before + u. With a == 0, u itself is the state after.
struct alignas(8) Link {
  float a, u;

  __device__ float operator()(float before) const { return a == 0 ? u : fmaf(a, before, u); }
  __device__ bool is_state() const { return a == 0; }
  // memory starts with all bits set; arithmetic makes other NaNs, and publish() sees to it
  __device__ bool is_published() const { return __float_as_uint(a) != ~0u; }
};

__device__ inline Link then(const Link& first, const Link& second) {
  return {first.a * second.a, fmaf(second.a, first.u, second.u)};
}

using LinkWord = ::cuda::atomic_ref<std::uint64_t, ::cuda::thread_scope_device>;

__device__ inline Link read_link(std::uint64_t* word) {
  const std::uint64_t bits = LinkWord(*word).load(::cuda::memory_order_relaxed);
  return {__uint_as_float(unsigned(bits)), __uint_as_float(unsigned(bits >> 32))};
}
__device__ inline void publish(std::uint64_t* word, const Link& link) {
  const unsigned a = link.a != link.a ? 0x7fffffffu : __float_as_uint(link.a);
  LinkWord(*word).store(std::uint64_t(__float_as_uint(link.u)) << 32 | a,
                        ::cuda::memory_order_relaxed);
}
__device__ inline Link shuffle(const Link& link, int lane) {
  return {__shfl_sync(kAllLanes, link.a, lane), __shfl_sync(kAllLanes, link.u, lane)};
}

// What a block shares about the tile it works on.
struct Carry {
  Link link[kScanWarps][kScanChannels];  // what each warp's steps do; then what those before it do
  Link whole[kScanChannels];             // what the tile's steps do
  float state[kScanChannels];            // before the tile
  bool known[2];                         // the states of either half of the channels
};

// Where a tile's states come from; pointers are to the tile's first channel.
struct Past {
  std::uint64_t* words;  // of the tile; the chunk before has its own `stride` words earlier
  Index stride;
  int chunk;
  const float* initial;  // or null: zeros
  int channels;          // that exist

  __device__ Link look(int channel, int back) const {
    if (back <= chunk) return read_link(words + channel - back * stride);
    return {0, back == chunk + 1 && initial && channel < channels ? initial[channel] : 0.0f};
  }
};

// Between two barriers, by the first 64 threads, a channel each: joins the warps' links, and takes
// the state before if the chunk before has it already, as is the rule with many sequences.
__device__ inline void join_warps(Carry& carry, const Past& past) {
  const int channel = int(threadIdx.x);
  const Link before = past.look(channel, 1);
  Link all{1, 0};
#pragma unroll
  for (int w = 0; w < kScanWarps; ++w) {
    const Link link = carry.link[w][channel];
    carry.link[w][channel] = all;
    all = then(all, link);
  }
  publish(past.words + channel, before.is_state() ? Link{0, all(before.u)} : all);
  carry.whole[channel] = all;
  carry.state[channel] = before.u;
  const bool known = __all_sync(kAllLanes, before.is_state());
  if (channel % 32 == 0) carry.known[channel / 32] = known;
}

// Whether for all 4 channels of the warp the nearest state lies before anything unpublished.
__device__ inline bool reaches_states(const Link& near, const Link& far) {
  const std::uint64_t mine = 0x1111111111111111u << threadIdx.x % 4;
  const auto vote = [&](bool of_near, bool of_far) {
    const std::uint64_t low = __ballot_sync(kAllLanes, of_near);
    return (std::uint64_t(__ballot_sync(kAllLanes, of_far)) << 32 | low) & mine;
  };
  const std::uint64_t missing = vote(!near.is_published(), !far.is_published());
  const std::uint64_t states = vote(near.is_state(), far.is_state());
  const std::uint64_t nearest = states & (~states + 1);
  return __all_sync(kAllLanes, states && !(missing & (nearest - 1)));
}

// Between two barriers, by all warps, 4 channels each: lanes c, c + 4, ... look for channel c's
// state in the words of the 16 chunks before. Those are in work already, as tiles are taken in
// order, and wait for nobody after them: so the wait ends. A word is read again only while it is
// unpublished, or the last of the 16 and not a state yet.
__device__ inline void look_back(Carry& carry, const Past& past) {
  const int lane = int(threadIdx.x) % 32, channel = int(threadIdx.x) / 32 * 4 + lane % 4;
  const int back = lane / 4 + 1;
  Link near = past.look(channel, back), far = past.look(channel, back + 8);
  while (!reaches_states(near, far)) {
    if (!near.is_published()) near = past.look(channel, back);
    if (!far.is_published() || (back == 8 && !far.is_state())) far = past.look(channel, back + 8);
  }
  float state = 0;  // whatever comes before the nearest state is forgotten there
  for (int i = 7; i >= 0; --i) state = shuffle(far, 4 * i + lane % 4)(state);
  for (int i = 7; i >= 0; --i) state = shuffle(near, 4 * i + lane % 4)(state);
  if (lane >= 4) return;
  publish(past.words + channel, {0, carry.whole[channel](state)});
  carry.state[channel] = state;
}

}  // namespace tern::cuda
