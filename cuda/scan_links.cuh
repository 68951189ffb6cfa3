// What some steps of a scan over time do to a state, and how the blocks of a cluster tell it one
// another.
#pragma once

#include "cuda/cluster.cuh"
#include "cuda/scan_tiles.cuh"

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

}  // namespace tern::cuda
