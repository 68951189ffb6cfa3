// How a (B, T, D) array is cut for a scan over time, and how a warp brings its piece into shared
// memory. A tile is one sequence's kScanChannels channels over one chunk of steps; thread blocks
// take tiles in the order of a ticket, all of one chunk before any of the next.
#pragma once

#include <cuda_pipeline.h>

#include "core/workspace.h"
#include "cuda/device.cuh"

namespace tern::cuda {

constexpr int kScanThreads = 32 * kScanWarps;

struct alignas(16) ScanTile {
  unsigned number;
  int b, chunk, channel;  // its first channel
};

struct ScanTiles {
  int B, T, D;
  int steps;               // of a chunk
  unsigned columns, rows;  // of tiles: across the channels; chunks * B
  unsigned* ticket;        // the last one taken, before the first of all: ~0
  std::uint64_t* links;    // for each tile a word a channel, as in time_scan.cuh

  __host__ __device__ unsigned count() const { return rows * columns; }
  __device__ std::uint64_t* links_of(const ScanTile& tile) const {
    return links + Index(tile.number) * kScanChannels;
  }
  __device__ Index chunk_stride() const { return Index(B) * columns * kScanChannels; }
  __device__ bool holds_all_of(const ScanTile& tile) const {
    return tile.channel + int(kScanChannels) <= D && (tile.chunk + 1) * steps <= T;
  }
  // One thread's call: the next tile, numbered count() or more when none is left.
  __device__ ScanTile take() const {
    const unsigned number = atomicAdd(ticket, 1u) + 1, row = number / columns,
                   column = number % columns;
    return {number, int(row % unsigned(B)), int(row / unsigned(B)),
            int(column) * int(kScanChannels)};
  }
};

inline ScanTiles scan_tiles(const Tensor& h, int tensors, const Tensor& workspace) {
  const auto [B, T, D] = dims<3>(h, "[mlgru] h (B, T, D)");
  const Index steps = scan_steps(tensors, bits(h.dtype()) / 8);
  const Index columns = (D + kScanChannels - 1) / kScanChannels;
  const Index rows = (T + steps - 1) / steps * B;
  check(T < (1 << 30) && D < (1 << 30) && rows * columns < (1 << 30),
        "[mlgru] expected fewer than 2^30 steps, channels and tiles, got ", h);
  char* memory = workspace ? static_cast<char*>(workspace.raw()) : nullptr;
  return {.B = int(B),
          .T = int(T),
          .D = int(D),
          .steps = int(steps),
          .columns = unsigned(columns),
          .rows = unsigned(rows),
          .ticket = reinterpret_cast<unsigned*>(memory),
          .links = reinterpret_cast<std::uint64_t*>(memory + 256)};
}

// Where a warp's rows lie in memory: row r at `first` + r * step of the sequence's T rows.
struct ScanRows {
  int first, step, T, D, channels;  // channels of the tile that exist
};

// The warp copies R rows of one tensor to shared memory, asynchronously if 16-byte pieces can be.
// `from` is row 0 of the tile's first channel. Unless all rows and channels exist, elements that do
// not become `missing`.
template <bool aligned, bool all, int R, class A>
__device__ inline void fetch_rows(A* to, const A* from, const ScanRows& rows, float missing) {
  constexpr int piece = aligned ? 16 / sizeof(A) : 1, pieces = int(kScanChannels) / piece;
  const int lane = int(threadIdx.x) % 32;
#pragma unroll(aligned ? R : 4)
  for (int i = 0; i < R * pieces / 32; ++i) {
    const int number = i * 32 + lane, r = number / pieces, d = number % pieces * piece;
    const int row = rows.first + r * rows.step;
    A* const at = to + r * int(kScanChannels) + d;
    if (!all && (row < 0 || row >= rows.T || d >= rows.channels)) {
      for (int k = 0; k < piece; ++k) at[k] = from_float<A>(missing);
    } else {
      const A* const source = from + (Index(row) * rows.D + d);
      if constexpr (aligned)
        __pipeline_memcpy_async(at, source, 16);
      else
        *at = *source;
    }
  }
}

// A lane's two channels, of which `valid` (0 or less, 1, 2 or more) exist: to = x or to += x
template <bool aligned, class A>
__device__ inline void put_pair(A* to, bool add, float (&x)[2], int valid) {
  if constexpr (aligned) {
    if (valid > 0) put(to, add, x);
  } else {
#pragma unroll
    for (int i = 0; i < 2; ++i)
      if (i < valid) to[i] = from_float<A>(add ? to_float(to[i]) + x[i] : x[i]);
  }
}

// x = the values at the lane's two channels, 0 for those that do not exist or without values
__device__ inline void load_pair(float (&x)[2], const float* values, int valid) {
#pragma unroll
  for (int i = 0; i < 2; ++i) x[i] = values && i < valid ? __ldg(values + i) : 0;
}

}  // namespace tern::cuda
