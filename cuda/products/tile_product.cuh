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

// sums += (w + 1) q over this warp's columns of P panels and N times kTileRows rows; panel k meets
// the rows of input k % Q, which lie input_stride bytes apart. panels, rows: where this lane reads.
// ready() is called before the first code is read, after the first tiles are on their way.
//
// sums[k][n]: outputs 2 (lane / 4) and the next of the panel, each for rows 2 (lane % 4) and the
// next of the n-th: {first, row}, {first, next row}, {second, row}, {second, next row}. An
// instruction's column 4 t + i, and 16 more, are columns 4 f + i of tile t, for two fields f of the
// four in a byte; its rows g and g + 8 are rows 2 g and 2 g + 1 of the panel.
template <int P, int Q, int N, class Ready, class Seen>
__device__ inline void multiply_tiles(int (&sums)[P][N][4], const char* const (&panels)[P],
                                      const std::int8_t* const (&rows)[N], std::size_t input_stride,
                                      int columns, const Ready& ready, const Seen& seen) {
  const int groups = columns / kGroupColumns, warp = int(threadIdx.x) / 32;
  const auto fetch = [&](uint2(&to)[P], int group) {
#pragma unroll
    for (int k = 0; k < P; ++k)
      to[k] = __ldg(reinterpret_cast<const uint2*>(panels[k] + std::size_t(group) * 256));
  };
  uint2 next[P] = {};
  if (warp < groups) fetch(next, warp);
  ready();
#pragma unroll 1
  for (int group = warp; group < groups; group += kTileWarps) {
    uint2 now[P];
#pragma unroll
    for (int k = 0; k < P; ++k) now[k] = next[k];
    if (group + kTileWarps < groups) fetch(next, group + kTileWarps);
#pragma unroll
    for (int q = 0; q < Q; ++q) {
      uint4 x[N];
#pragma unroll
      for (int n = 0; n < N; ++n) {
        x[n] = *reinterpret_cast<const uint4*>(rows[n] + std::size_t(q) * input_stride +
                                               group * kGroupColumns);
        seen(n, x[n]);
      }
#pragma unroll
      for (int k = q; k < P; k += Q)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          constexpr unsigned kField = 0x03030303;
          const unsigned t[4] = {now[k].x >> 4 * half & kField, now[k].y >> 4 * half & kField,
                                 now[k].x >> (4 * half + 2) & kField,
                                 now[k].y >> (4 * half + 2) & kField};
#pragma unroll
          for (int n = 0; n < N; ++n)
            multiply_codes(sums[k][n], t, half ? x[n].z : x[n].x, half ? x[n].w : x[n].y);
        }
    }
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
