// Launching a scan over time.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "cuda/scan_tiles.cuh"

namespace tern::cuda {

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
