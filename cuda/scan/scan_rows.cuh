// How a warp brings its steps of a tile to shared memory, and writes results back.
#pragma once

#include <cuda_pipeline.h>

#include "cuda/common/vectors.cuh"
#include "cuda/scan/scan_tiles.cuh"

namespace tern::cuda {

// A warp's rows of a tile: row r is step first + r in the direction of the scan, and lies at offset
// + r * stride of each tensor.
struct ScanRows {
  int first, T, channels;  // there are T steps, and so many channels from the tile's first on
  int stride;
  Index offset;

  // the steps `later` ones after this
  __device__ ScanRows after(int later) const {
    ScanRows rows = *this;
    rows.first += later;
    rows.offset += Index(stride) * later;
    return rows;
  }
  __device__ bool exist() const { return first < T; }
  // Whether R rows need no exceptions: they exist in all channels, and so does the next.
  __device__ bool whole(int R) const { return first + R < T && channels >= int(kScanChannels); }
};

// Copies R rows of one tensor to shared memory, asynchronously if 16-byte pieces can be. Unless
// all of them are `whole`, elements that do not exist become 0.
template <bool aligned, bool whole, int R, class A>
__device__ inline void fetch_rows(A* to, const A* from, const ScanRows& rows) {
  constexpr int piece = aligned ? 16 / sizeof(A) : 1, pieces = int(kScanChannels) / piece;
  const int lane = int(threadIdx.x) % 32;
  if constexpr (aligned) {
    constexpr int at_once = 32 / pieces;  // rows
    const int row = lane / pieces, d = lane % pieces * piece;
    const A* const source = from + (rows.offset + Index(rows.stride) * row + d);
#pragma unroll
    for (int r = 0; r < R; r += at_once) {
      const bool exists = whole || (rows.first + r + row < rows.T && d < rows.channels);
      __pipeline_memcpy_async(to + r * int(kScanChannels) + lane * piece,
                              exists ? source + Index(rows.stride) * r : from, 16, exists ? 0 : 16);
    }
  } else {
    for (int i = lane; i < R * pieces; i += 32) {
      const int r = i / pieces, d = i % pieces;
      const bool exists = rows.first + r < rows.T && d < rows.channels;
      to[i] = exists ? from[rows.offset + Index(rows.stride) * r + d] : from_float<A>(0);
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
