// How a (B, T, D) array is cut for a scan over time: a tile is one sequence's kScanChannels
// channels over one chunk of steps, a column of tiles those channels over all steps.
#pragma once

#include "core/workspace.h"
#include "cuda/device.cuh"

namespace tern::cuda {

constexpr int kScanThreads = 32 * kScanWarps;

// `number` counts along time first where blocks walk, else along the columns.
struct alignas(16) ScanTile {
  unsigned number;
  int b, chunk, channel;  // its first channel

  __device__ bool exists() const { return number != ~0u; }
};

struct ScanTiles {
  int B, T, D;
  int steps;                        // of a chunk
  unsigned chunks, columns, walks;  // as in ScanCut
  unsigned* ticket;                 // the last one taken, before the first of all: ~0
  std::uint64_t* links;  // kScanChannels words for each tile that is passed on (cuda/time_scan.cuh)
  std::size_t words_bytes;  // of both

  __host__ __device__ unsigned count() const { return chunks * columns; }
  __device__ bool holds_all_of(const ScanTile& tile) const {
    return tile.channel + int(kScanChannels) <= D && (tile.chunk + 1) * steps <= T;
  }
  __device__ unsigned take_ticket() const { return atomicAdd(ticket, 1u) + 1; }
  __device__ ScanTile at(unsigned number, unsigned column, unsigned chunk) const {
    const unsigned across = columns / unsigned(B), b = column / across;
    return {number, int(b), int(chunk), int(column - b * across) * int(kScanChannels)};
  }
};

inline ScanTiles scan_tiles(const Tensor& h, int tensors, const Tensor& workspace,
                            const DeviceTraits& device) {
  const auto [B, T, D] = dims<3>(h, "[mlgru] h (B, T, D)");
  const ScanCut cut = scan_cut(h, tensors, device);
  check(T < (1 << 30) && D < (1 << 30) && cut.chunks * cut.columns < (1 << 30),
        "[mlgru] expected fewer than 2^30 steps, channels and tiles, got ", h);
  char* memory = cut.passed_on() ? static_cast<char*>(workspace.raw()) : nullptr;
  return {.B = int(B),
          .T = int(T),
          .D = int(D),
          .steps = int(scan_steps(tensors, bits(h.dtype()) / 8)),
          .chunks = unsigned(cut.chunks),
          .columns = unsigned(cut.columns),
          .walks = unsigned(cut.walks),
          .ticket = reinterpret_cast<unsigned*>(memory),
          .links = reinterpret_cast<std::uint64_t*>(memory ? memory + 256 : nullptr),
          .words_bytes = scan_words_bytes(cut)};
}

}  // namespace tern::cuda
