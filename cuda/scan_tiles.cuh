// How a (B, T, D) array is cut for a scan over time: a tile is one sequence's kScanChannels
// channels over one chunk of steps, a column of tiles those channels over all steps.
#pragma once

#include "core/workspace.h"
#include "cuda/device.cuh"

namespace tern::cuda {

// One thread works all of it out for the others. `number` counts along time first where blocks
// walk, else along the columns.
struct alignas(16) ScanTile {
  Index base;  // (b, 0, channel) in the array
  unsigned number;
  int b, chunk;
  int channel;      // its first; kNone: there is no such tile
  bool carried;     // the block comes with the state of the tile before
  bool ends;        // it goes on elsewhere after this one
  bool passed_on;   // another block goes on with this one's state
  bool taken_over;  // another block has walked the column up to some tile before

  static constexpr int kNone = 1 << 30;
  __device__ static ScanTile none() { return {.channel = kNone}; }
  __device__ bool exists() const { return channel != kNone; }
};

struct ScanTiles {
  int B, T, D;
  int steps;                        // of a chunk
  unsigned chunks, columns, walks;  // as in ScanCut
  unsigned* ticket;                 // the last one taken, before the first of all: ~0
  std::uint64_t* links;     // kScanChannels words for each tile that is passed on (scan_links.cuh)
  std::size_t words_bytes;  // of both

  __host__ __device__ unsigned count() const { return chunks * columns; }
  __device__ bool holds_all_of(const ScanTile& tile) const {
    return tile.channel + int(kScanChannels) <= D && (tile.chunk + 1) * steps <= T;
  }
  __device__ unsigned take_ticket() const { return atomicAdd(ticket, 1u) + 1; }
  __device__ ScanTile at(unsigned number, unsigned column, unsigned chunk) const {
    const unsigned across = columns / unsigned(B), b = column / across;
    const int channel = int(column - b * across) * int(kScanChannels);
    return {.base = Index(b) * T * D + channel,
            .number = number,
            .b = int(b),
            .chunk = int(chunk),
            .channel = channel,
            .carried = false,
            .ends = true,
            .passed_on = chunk + 1 < chunks,
            .taken_over = false};
  }
};

inline ScanTiles scan_tiles(const Tensor& h, const ScanShape& shape, const Tensor& workspace,
                            const DeviceTraits& device) {
  const auto [B, T, D] = dims<3>(h, "[mlgru] h (B, T, D)");
  const ScanCut cut = scan_cut(h, shape, device);
  check(T < (1 << 30) && D < (1 << 26) && cut.chunks * cut.columns < (1 << 30),
        "[mlgru] expected fewer than 2^26 channels and 2^30 steps and tiles, got ", h);
  char* memory = workspace && cut.passed_on() ? static_cast<char*>(workspace.raw()) : nullptr;
  return {.B = int(B),
          .T = int(T),
          .D = int(D),
          .steps = int(shape.steps(bits(h.dtype()) / 8)),
          .chunks = unsigned(cut.chunks),
          .columns = unsigned(cut.columns),
          .walks = unsigned(cut.walks),
          .ticket = reinterpret_cast<unsigned*>(memory),
          .links = reinterpret_cast<std::uint64_t*>(memory ? memory + 256 : nullptr),
          .words_bytes = scan_words_bytes(cut)};
}

}  // namespace tern::cuda
