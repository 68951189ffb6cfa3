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

// `blocks` are as many as fit on the device at once: each takes tiles until none is left
template <class Arguments>
void launch_scan(void (*kernel)(Arguments), const Arguments& arguments, std::size_t shared_bytes,
                 int blocks, cudaStream_t stream) {
  const ScanTiles& tiles = arguments.tiles;
  const std::size_t words = std::size_t(tiles.count()) * kScanChannels * sizeof(std::uint64_t);
  cuda_check(cudaMemsetAsync(tiles.ticket, 0xff, 256 + words, stream), "[mlgru] reset");
  cuda_check(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes)),
      "[mlgru] shared memory");
  kernel<<<int(std::min<unsigned>(tiles.count(), blocks)), kScanThreads, shared_bytes, stream>>>(
      arguments);
  launched("[mlgru]");
}

}  // namespace tern::cuda
