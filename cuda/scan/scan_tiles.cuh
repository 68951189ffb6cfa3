// Tiles of a (B, T, D) array for a scan over time, the part that a thread works on, and the launch.
#pragma once

#include <algorithm>

#include "core/workspace.h"
#include "cuda/common/device.cuh"

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

// whether a tile's rows consist of whole 16-byte pieces
template <class A>
bool rows_aligned(Index D, std::initializer_list<const void*> tensors) {
  return D * sizeof(A) % 16 == 0 && std::all_of(tensors.begin(), tensors.end(), aligned<16>);
}

// A cluster to each column.
template <class Arguments>
void launch_scan(void (*kernel)(Arguments), const Arguments& arguments, const ScanShape& shape,
                 cudaStream_t stream) {
  const ScanTiles& tiles = arguments.tiles;
  const Index shared = scan_shared_bytes(shape, tiles.groups, tiles.blocks);
  cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared)),
             "[mlgru] shared memory");
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {unsigned(tiles.blocks), 1, 1};
  cudaLaunchConfig_t launch{};
  launch.gridDim = tiles.columns * unsigned(tiles.blocks);
  launch.blockDim = 32 * unsigned(shape.warps * tiles.groups);
  launch.dynamicSmemBytes = std::size_t(shared);
  launch.stream = stream;
  launch.attrs = &cluster;
  launch.numAttrs = tiles.blocks > 1 ? 1 : 0;
  cuda_check(cudaLaunchKernelEx(&launch, kernel, arguments), "[mlgru]");
}

}  // namespace tern::cuda
