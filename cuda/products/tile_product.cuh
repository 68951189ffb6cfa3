// Integer sums of weights at two bits (core/ternary_tiles.h) with int8 codes of few rows, on the
// tensor cores of sm_80 and later: tiles go from memory to registers and are unpacked there.
#pragma once

#include <cstdint>

namespace tern::cuda {

inline constexpr int kTileWarps = 8;      // of a block, each takes a part of the columns
inline constexpr int kTileRows = 8;       // rows of codes of one instruction
inline constexpr int kPanelOutputs = 16;  // rows of weights: one row of tiles, a panel
inline constexpr int kGroupColumns = 64;  // four tiles of a panel, that a warp takes at once

__device__ inline void multiply_codes(int (&sum)[4], const unsigned (&t)[4], unsigned q0,
                                      unsigned q1) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
      : "r"(t[0]), "r"(t[1]), "r"(t[2]), "r"(t[3]), "r"(q0), "r"(q1));
}

// Where a lane reads of a panel, from its first byte on, and of a row of codes, from its first on:
// it has rows 2 (lane / 4) and the next of tile lane % 4, and row lane / 4 of every kTileRows.
__device__ inline int lane_in_panel(int lane) {
  return lane % 4 * 64 + lane / 4 * 8;
}
__device__ inline int lane_in_row(int lane) {
  return lane % 4 * 16;
}

// Of a group of columns: the tiles of P panels, and the codes of Q inputs in N times kTileRows
// rows.
template <int P, int Q, int N>
struct TileGroup {
  uint2 tiles[P];
  uint4 codes[Q][N];

  __device__ void fetch_tiles(const char* const (&panels)[P], int group) {
#pragma unroll
    for (int k = 0; k < P; ++k)
      tiles[k] = __ldg(reinterpret_cast<const uint2*>(panels[k] + std::size_t(group) * 256));
  }
  __device__ void fetch_codes(const std::int8_t* const (&rows)[N], std::size_t input_stride,
                              int group) {
#pragma unroll
    for (int q = 0; q < Q; ++q)
#pragma unroll
      for (int n = 0; n < N; ++n)
        codes[q][n] = *reinterpret_cast<const uint4*>(rows[n] + std::size_t(q) * input_stride +
                                                      group * kGroupColumns);
  }
  __device__ void multiply(int (&sums)[P][N][4]) const {
    constexpr unsigned kField = 0x03030303;
#pragma unroll
    for (int k = 0; k < P; ++k)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const unsigned t[4] = {tiles[k].x >> 4 * half & kField, tiles[k].y >> 4 * half & kField,
                               tiles[k].x >> (4 * half + 2) & kField,
                               tiles[k].y >> (4 * half + 2) & kField};
#pragma unroll
        for (int n = 0; n < N; ++n) {
          const uint4& x = codes[k % Q][n];
          multiply_codes(sums[k][n], t, half ? x.z : x.x, half ? x.w : x.y);
        }
      }
  }
};

// sums += (w + 1) q over this warp's columns of P panels and N times kTileRows rows; panel k meets
// the rows of input k % Q, which lie input_stride bytes apart. panels, rows: where this lane reads.
// ready() is called before the first code is read, after the first tiles are on their way. S groups
// of columns are on their way at once; of S = 1 only the tiles of two are, and other blocks of the
// multiprocessor hide the rest. seen(codes) gets the codes of the first input, group by group.
//
// sums[k][n]: outputs 2 (lane / 4) and the next of the panel, each for rows 2 (lane % 4) and the
// next of the n-th: {first, row}, {first, next row}, {second, row}, {second, next row}. An
// instruction's column 4 t + i, and 16 more, are columns 4 f + i of tile t, for two fields f of the
// four in a byte; its rows g and g + 8 are rows 2 g and 2 g + 1 of the panel.
template <int P, int Q, int N, int S, class Ready, class Seen>
__device__ inline void multiply_tiles(int (&sums)[P][N][4], const char* const (&panels)[P],
                                      const std::int8_t* const (&rows)[N], std::size_t input_stride,
                                      int columns, const Ready& ready, const Seen& seen) {
  const int groups = columns / kGroupColumns, warp = int(threadIdx.x) / 32;
  constexpr int kTilesAhead = S > 1 ? S : 2;
  TileGroup<P, Q, N> next[kTilesAhead];
#pragma unroll
  for (int s = 0; s < kTilesAhead; ++s)
    if (warp + s * kTileWarps < groups) next[s].fetch_tiles(panels, warp + s * kTileWarps);
  ready();
#pragma unroll
  for (int s = 0; s < S && S > 1; ++s)
    if (warp + s * kTileWarps < groups)
      next[s].fetch_codes(rows, input_stride, warp + s * kTileWarps);
#pragma unroll 1
  for (int first = warp; first < groups; first += kTilesAhead * kTileWarps)
#pragma unroll
    for (int s = 0; s < kTilesAhead; ++s) {
      const int group = first + s * kTileWarps, later = group + kTilesAhead * kTileWarps;
      if (group >= groups) break;
      if (S == 1) next[s].fetch_codes(rows, input_stride, group);
      next[s].multiply(sums);
      seen(next[s].codes[0]);
      if (later >= groups) continue;
      next[s].fetch_tiles(panels, later);
      if (S > 1) next[s].fetch_codes(rows, input_stride, later);
    }
}

// The warps' sums in shared memory: kTileWarps P N 32 of them.
template <int P, int N>
__device__ inline void store_parts(int4* parts, const int (&sums)[P][N][4]) {
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
#pragma unroll
  for (int k = 0; k < P; ++k)
#pragma unroll
    for (int n = 0; n < N; ++n)
      parts[((warp * P + k) * N + n) * 32 + lane] = {sums[k][n][0], sums[k][n][1], sums[k][n][2],
                                                     sums[k][n][3]};
}
template <int P, int N>
__device__ inline int4 sum_parts(const int4* parts, int panel, int n, int lane) {
  int4 all{};
#pragma unroll
  for (int w = 0; w < kTileWarps; ++w) {
    const int4 part = parts[((w * P + panel) * N + n) * 32 + lane];
    all.x += part.x, all.y += part.y, all.z += part.z, all.w += part.w;
  }
  return all;
}

}  // namespace tern::cuda
