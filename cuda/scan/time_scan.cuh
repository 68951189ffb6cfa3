// state[t] = a[t] * state[t - 1] + u[t] in one pass over memory. A block, or the blocks of a
// cluster, walk along a column of tiles in turns of one tile a block. In a turn each warp finds out
// what its steps do to the states; then, with one thread to a channel, its block what all of them
// do, tells the other blocks, and knows the states before its own warps' steps and after the turn.
// A block's groups of warps take the turns by turns, so that one works while another waits.
//
// The same operations run in the same order, whichever block is first: the bits depend on the cut
// alone.
#pragma once

#include "cuda/common/cluster.cuh"
#include "cuda/scan/scan_tiles.cuh"

namespace tern::cuda {

// state after = a * state before + u
struct alignas(8) Link {
  float a, u;

  __device__ float operator()(float before) const { return fmaf(a, before, u); }
};

__device__ inline Link then(const Link& first, const Link& second) {
  return {first.a * second.a, fmaf(second.a, first.u, second.u)};
}

// The links of a cluster's blocks, received by every block: in two places to a group of warps, by
// turns. A block that sends to a place again has received what this block sent in between, after
// this block had read the place's first content. No block ends before it has received everything,
// so no store reaches a block that has ended. A cluster of one block has none.
class ClusterLinks {
 public:
  // memory: of all groups, size() links
  __device__ ClusterLinks(Link* memory, const ScanTiles& tiles, const ScanPlace& place)
      : blocks_(tiles.blocks), block_(place.block) {
    if (blocks_ == 1) return;
    Link* const barriers = memory + 2 * tiles.groups * blocks_ * kChannels;
    places_ = memory + 2 * place.group * blocks_ * kChannels;
    barriers_ = barriers + 2 * place.group;
    if constexpr (hopper::kClusters) {
      if (threadIdx.x == 0) {
#pragma unroll 1
        for (int i = 0; i < 2 * tiles.groups; ++i)
          hopper::init_barrier(hopper::shared_address(barriers + i), 1);
        hopper::publish_barriers();
      }
      hopper::synchronize_cluster();
    }
  }
  __device__ static int size(const ScanTiles& tiles) {
    return tiles.blocks == 1 ? 0 : 2 * tiles.groups * (tiles.blocks * kChannels + 1);
  }

  // Tells all blocks this one's link of channel c, in the group's round-th turn; a thread for each.
  __device__ void send(const Link& link, int round, int c) const {
    if constexpr (hopper::kClusters) {
      if (blocks_ == 1) return;
      Link* const to = place(round) + block_ * kChannels + c;
      const auto barrier = hopper::shared_address(barriers_ + round % 2);
      const unsigned others = unsigned(blocks_ - 1);
      *to = link;  // this block's own
      if (c == 0) hopper::arrive_and_expect(barrier, others * kChannels * unsigned(sizeof(Link)));
#pragma unroll 1
      for (unsigned i = 1; i <= others; ++i)
        hopper::store_at_block(hopper::shared_address(to), link.a, link.u, barrier,
                               (unsigned(block_) + i) & others);
    }
  }
  // Given the state before the turn, that after it, and start: before this block's steps.
  __device__ float pass(float& start, float state, const Link& own, int round, int c) const {
    start = state;
    if constexpr (hopper::kClusters) {
      if (blocks_ > 1) {
        hopper::wait_barrier(hopper::shared_address(barriers_ + round % 2),
                             unsigned(round / 2 % 2));
#pragma unroll 1
        for (int i = 0; i < blocks_; ++i) {
          if (i == block_) start = state;
          state = place(round)[i * kChannels + c](state);
        }
        return state;
      }
    }
    return own(state);
  }

 private:
  static constexpr int kChannels = int(kScanChannels);
  __device__ Link* place(int round) const {
    return places_ + round % 2 * blocks_ * kChannels;
  }

  int blocks_, block_;
  Link *places_ = nullptr, *barriers_ = nullptr;  // of the group
};

// A barrier among `threads` of a block; 0 is __syncthreads(). (Arriving without waiting would do in
// places, but racecheck does not understand it.)
__device__ inline void sync_some(int barrier, int threads) {
  asm volatile("barrier.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

template <int warps>
class ScanStates {
 public:
  // memory: what scan_shared_bytes() counts beside the stages. initial (B, D): the states before
  // everything, or null: zeros.
  __device__ ScanStates(void* memory, const ScanTiles& tiles, const ScanPlace& place,
                        const float* initial)
      : tiles_(tiles),
        place_(place),
        initial_(initial),
        links_(static_cast<Link*>(memory)),
        cluster_(links_ + tiles.groups * warps * kChannels, tiles, place),
        carried_(reinterpret_cast<float*>(links_ + tiles.groups * warps * kChannels +
                                          ClusterLinks::size(tiles))) {
    links_ += place.group * warps * kChannels;
    if (tiles.groups == 1) return;
    if (threadIdx.x == 0) {
#pragma unroll 1
      for (int g = 0; g < tiles.groups; ++g) hopper::init_barrier(handed_to(g), kChannels);
    }
    __syncthreads();
  }

  // which turn is the group's round-th, from 0
  __device__ int turn(int round) const {
    return round * tiles_.groups + place_.group;
  }

  // In each of them: first the links of the warp's steps, for the lane's two channels;
  __device__ void link(const Link (&link)[2]) {
    *my_links() = {link[0].a, link[0].u, link[1].a, link[1].u};
    sync_some(kLinked + place_.group, 32 * warps);
  }
  // then, by the warps for which folds(), the channels' states before each warp's steps;
  __device__ bool folds() const {
    return place_.warp < kChannels / 32;
  }
  __device__ void fold(int round) {
    const int c = place_.warp * 32 + place_.lane;
    Link all = links_[c];
#pragma unroll
    for (int w = 1; w < warps; ++w) all = then(all, links_[w * kChannels + c]);
    cluster_.send(all, round, c);
    float start;
    const float state = cluster_.pass(start, before(round, c), all, round, c);
    hand_over(state, round, c);
#pragma unroll
    for (int w = 0; w < warps; ++w) {  // in place of the links
      const Link link = links_[w * kChannels + c];
      links_[w * kChannels + c].a = start;
      start = link(start);
    }
  }
  // and last those before the warp's own.
  __device__ void states(float (&before)[2]) {
    sync_some(kKnown + place_.group, 32 * warps);
    const float4 two = *my_links();
    before[0] = two.x;
    before[1] = two.z;
  }

 private:
  static constexpr int kChannels = int(kScanChannels);
  // barriers, one for each group, of at most 7
  static constexpr int kLinked = 1, kKnown = 8;

  __device__ float4* my_links() const {
    return reinterpret_cast<float4*>(links_ + place_.warp * kChannels + 2 * place_.lane);
  }
  // the states before the turn, from the group whose turn was the last
  __device__ float before(int round, int c) const {
    if (round + place_.group == 0)
      return initial_ && place_.channel + c < tiles_.D
                 ? initial_[Index(place_.b) * tiles_.D + place_.channel + c]
                 : 0;
    if (tiles_.groups > 1)
      hopper::wait_barrier(handed_to(place_.group), unsigned(place_.group ? round : round - 1) % 2);
    return carried_[c];
  }
  __device__ void hand_over(float state, int round, int c) const {
    carried_[c] = state;
    const int next = place_.group + 1 == tiles_.groups ? 0 : place_.group + 1;
    if (tiles_.groups > 1) hopper::arrive(handed_to(next));
  }
  // A phase ends when the states have been handed over to the group once more.
  __device__ hopper::Address handed_to(int group) const {
    return hopper::shared_address(carried_ + kChannels) + 8 * unsigned(group);
  }

  const ScanTiles& tiles_;
  const ScanPlace& place_;
  const float* initial_;
  Link* links_;  // of the group
  ClusterLinks cluster_;
  float* carried_;  // of the block
};

}  // namespace tern::cuda
