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

// As many blocks as fit on the device at once: each walks its share, or takes tiles until none is
// left.
template <class Arguments>
void launch_scan(void (*kernel)(Arguments), const Arguments& arguments, const ScanShape& shape,
                 const DeviceTraits& device, std::size_t shared_bytes, cudaStream_t stream) {
  const ScanTiles& tiles = arguments.tiles;
  if (tiles.words_bytes)
    cuda_check(cudaMemsetAsync(tiles.ticket, 0xff, tiles.words_bytes, stream), "[mlgru] reset");
  cuda_check(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes)),
      "[mlgru] shared memory");
  const unsigned resident = unsigned(shape.blocks * device.multiprocessors);
  const unsigned blocks = tiles.walks ? tiles.walks : std::min(tiles.count(), resident);
  kernel<<<blocks, int(32 * shape.warps), shared_bytes, stream>>>(arguments);
  launched("[mlgru]");
}

}  // namespace tern::cuda
