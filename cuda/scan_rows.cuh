// How a warp brings its steps of a tile to shared memory, and writes results back.
#pragma once

#include <cuda_pipeline.h>

#include "cuda/pieces.cuh"
#include "cuda/scan_tiles.cuh"

namespace tern::cuda {

// Where a warp's rows lie in memory: row r at `first` + r * step of the sequence's T rows. What a
// lane fetches first begins at `offset` of a tensor.
struct ScanRows {
  int first, step, T, D, channels;  // channels of the tile that exist
  Index offset;

  template <bool aligned, class A>
  static constexpr int piece = aligned ? 16 / sizeof(A) : 1;  // elements

  template <bool aligned, class A>
  __device__ static ScanRows at(const ScanTile& tile, const ScanTiles& tiles, int first, int step) {
    constexpr int pieces = int(kScanChannels) / piece<aligned, A>;
    const int lane = int(threadIdx.x) % 32;
    const int ahead = lane / pieces * step * tiles.D + lane % pieces * piece<aligned, A>;
    return {.first = first,
            .step = step,
            .T = tiles.T,
            .D = tiles.D,
            .channels = tiles.D - tile.channel,
            .offset = tile.base + Index(first) * tiles.D + ahead};
  }
};

// The warp copies R rows of one tensor to shared memory, asynchronously if 16-byte pieces can be.
// Unless all rows and channels exist, elements that do not become `missing`.
template <bool aligned, bool all, int R, class A>
__device__ inline void fetch_rows(A* to, const A* from, const ScanRows& rows, float missing) {
  constexpr int piece = ScanRows::piece<aligned, A>, pieces = int(kScanChannels) / piece;
  const int lane = int(threadIdx.x) % 32;
#pragma unroll(aligned ? R : 4)
  for (int i = 0; i < R * pieces / 32; ++i) {
    // below 32 pieces a row, 32 / pieces rows at a time; else a part of a row
    const int number = i * 32 + lane, r = number / pieces, d = number % pieces * piece;
    const int row = rows.first + r * rows.step;
    A* const at = to + r * int(kScanChannels) + d;
    if (!all && (row < 0 || row >= rows.T || d >= rows.channels)) {
      for (int k = 0; k < piece; ++k) at[k] = from_float<A>(missing);
    } else {
      const int ahead = (r - lane / pieces) * rows.step * rows.D + (d - lane % pieces * piece);
      const A* const source = from + rows.offset + ahead;
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

// two neighbours
__device__ inline void load_two(float (&x)[2], const float* from) {
  load(x, from);
}
__device__ inline void load_two(float (&x)[2], const bf16* from) {
  const unsigned pair = *reinterpret_cast<const unsigned*>(from);
  x[0] = low_half(pair);
  x[1] = high_half(pair);
}

}  // namespace tern::cuda
