// How a (B, T, D) array is cut for a scan over time, and which part of it a thread works on.
#pragma once

#include "core/workspace.h"
#include "cuda/device.cuh"

namespace tern::cuda {

// Where a warp works: in a column of tiles, at its rows of every tile.
struct ScanPlace {
  Index base;      // (b, 0, channel) in the array
  int b, channel;  // the column's; its first
  int block;       // in the cluster
  int group;       // of the block
  int warp;        // of the group
  int lane;
};

struct ScanTiles {
  int B, T, D;
  int steps;         // of a chunk
  int turns;         // of a cluster
  unsigned columns;  // the rest as in ScanCut
  int groups, blocks;

  template <int warps>
  __device__ ScanPlace place() const {
    const unsigned across = columns / unsigned(B), column = blockIdx.x / unsigned(blocks);
    const unsigned b = column / across;
    const int channel = int(column - b * across) * int(kScanChannels);
    const int warp = int(threadIdx.x) / 32;
    return {.base = Index(b) * T * D + channel,
            .b = int(b),
            .channel = channel,
            .block = int(blockIdx.x % unsigned(blocks)),
            .group = warp / warps,
            .warp = warp % warps,
            .lane = int(threadIdx.x) % 32};
  }
  // the first of the warp's R rows in the group's first turn, and from one of its turns to the next
  __device__ int first(const ScanPlace& place, int R) const {
    return (place.group * blocks + place.block) * steps + place.warp * R;
  }
  __device__ int ahead() const { return groups * blocks * steps; }
};

inline ScanTiles scan_tiles(const Tensor& h, const ScanShape& shape, const DeviceTraits& device) {
  const auto [B, T, D] = dims<3>(h, "[mlgru] h (B, T, D)");
  const ScanCut cut = scan_cut(h, shape, device);
  check(T < (1 << 30) && D < (1 << 26) && cut.columns < (1 << 28),
        "[mlgru] expected fewer than 2^26 channels, 2^30 steps and 2^28 columns, got ", h);
  return {.B = int(B),
          .T = int(T),
          .D = int(D),
          .steps = int(shape.steps(bits(h.dtype()) / 8)),
          .turns = int((cut.chunks + cut.blocks - 1) / cut.blocks),
          .columns = unsigned(cut.columns),
          .groups = int(cut.groups),
          .blocks = int(cut.blocks)};
}

}  // namespace tern::cuda
