// NEON with the dot product instructions of ARMv8.2: SDOT multiplies and adds 16 pairs of signed
// bytes, four of them in each lane, and takes its second operand's four from any lane.
#include "core/cpu/code_kernels.h"

#ifdef __aarch64__
#include <arm_neon.h>
#include <sys/auxv.h>

// for what follows only: the rest of the program must run on CPUs without it
#ifndef __ARM_FEATURE_DOTPROD
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#define TERN_POP_ATTRIBUTE
#else
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif
#endif

namespace tern::cpu {
namespace {

constexpr Index kBytes = 16;      // of a register
constexpr Index kLanes = 4;       // 32-bit sums of a register
constexpr Index kRowsAhead = 16;  // of codes to fetch: their rows are far apart

int8x16_t load(const void* p) {
  return vld1q_s8(static_cast<const std::int8_t*>(p));
}

// sums + the four products of each lane of codes with the four codes of lane `lane` of q
template <int lane>
int32x4_t add_products(int32x4_t sums, int8x16_t codes, int8x16_t q) {
  return vdotq_laneq_s32(sums, codes, q, lane);
}

// 4 x Vectors columns. A register holds 16 codes of a row of q: four steps.
template <int Rows, int Vectors>
void integer_part(std::int32_t* sums, const std::int8_t* q, Index q_stride,
                  const std::uint8_t* panel, Index I) {
  int32x4_t parts[Rows][Vectors];
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v) parts[r][v] = vdupq_n_s32(0);
  const auto step = [&]<int lane>(const int8x16_t(&rows)[Rows]) {
    for (int v = 0; v < Vectors; ++v) {
      const int8x16_t codes = load(panel + v * kBytes);
      for (int r = 0; r < Rows; ++r) parts[r][v] = add_products<lane>(parts[r][v], codes, rows[r]);
    }
    panel += 4 * kIntegerColumns;
  };
  for (Index i = 0; i < I; i += kBytes) {
    int8x16_t rows[Rows];
    for (int r = 0; r < Rows; ++r) rows[r] = load(q + r * q_stride + i);
    step.template operator()<0>(rows);
    step.template operator()<1>(rows);
    step.template operator()<2>(rows);
    step.template operator()<3>(rows);
  }
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v)
      vst1q_s32(sums + r * kIntegerColumns + v * kLanes, parts[r][v]);
}

// Of 32 registers 16 hold sums and 8 rows of q: 8 rows x 8 columns, or one row x 32.
template <int Rows, int Vectors>
void integer_tile_of(const IntegerTile& a) {
  for (Index column = 0; column < kIntegerColumns; column += Vectors * kLanes)
    integer_part<Rows, Vectors>(a.sums + column, a.q, a.q_stride, a.panel + 4 * column, a.I);
}

void integer_tile(const IntegerTile& a) {
  if (a.rows == kIntegerRows)
    integer_tile_of<kIntegerRows, 2>(a);
  else
    integer_tile_of<1, 8>(a);
}

// The weights are signed here: the sum of q's row is added once for all outputs.
void integer_dots(const IntegerDots& a) {
  constexpr int kAtOnce = 4;  // sums that do not wait for one another
  std::int32_t offset = 0;
  for (Index i = 0; i < a.I; i += kBytes) offset += vaddlvq_s8(load(a.q + i));
  for (Index o = 0; o < a.outputs; ++o) {
    const std::int8_t* t = a.t + o * a.I;
    int32x4_t sums[kAtOnce] = {};
    Index i = 0;
    for (; i + kAtOnce * kBytes <= a.I; i += kAtOnce * kBytes)
      for (int v = 0; v < kAtOnce; ++v)
        sums[v] = vdotq_s32(sums[v], load(t + i + v * kBytes), load(a.q + i + v * kBytes));
    for (; i < a.I; i += kBytes) sums[0] = vdotq_s32(sums[0], load(t + i), load(a.q + i));
    const int32x4_t sum = vaddq_s32(vaddq_s32(sums[0], sums[1]), vaddq_s32(sums[2], sums[3]));
    a.sums[o] = offset + vaddvq_s32(sum);
  }
}

// The fields of a byte stay where they are, so the second counts four times and the third sixteen
// times. The fourth would be a sign: it is moved to the place of the first.
struct FieldSums {
  void add(uint8x16_t bytes, int8x16_t q) {
    const auto masked = [&](int mask) {
      return vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(std::uint8_t(mask))));
    };
    first = add_products<0>(first, masked(0x03), q);
    second = add_products<1>(second, masked(0x0c), q);
    third = add_products<2>(third, masked(0x30), q);
    first = add_products<3>(first, vreinterpretq_s8_u8(vshrq_n_u8(bytes, 6)), q);
  }
  int32x4_t total() const {
    return vaddq_s32(first, vaddq_s32(vshrq_n_s32(second, 2), vshrq_n_s32(third, 4)));
  }
  int32x4_t first = vdupq_n_s32(0), second = first, third = first;
};

// 4 x Vectors outputs of a row of tiles, which begin at `bytes`
template <int Rows, int Vectors>
void tile_part(std::int32_t* sums, Index outputs, const std::int8_t* q, const std::uint8_t* bytes,
               Index I) {
  FieldSums parts[Rows][Vectors];
  for (Index i = 0; i < I; i += kTileSide, bytes += sizeof(TernaryTile)) {
    fetch_tiles(bytes);
    int8x16_t rows[Rows];
    for (int r = 0; r < Rows; ++r) rows[r] = load(q + r * I + i);
    for (int v = 0; v < Vectors; ++v) {
      const uint8x16_t packed = vld1q_u8(bytes + v * kBytes);
      for (int r = 0; r < Rows; ++r) parts[r][v].add(packed, rows[r]);
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v)
      vst1q_s32(sums + r * outputs + v * kLanes, parts[r][v].total());
}

// Sums stay in registers, so the more rows the fewer outputs at once. A row of tiles is then read
// again from the first cache.
template <int Rows>
void tile_dots_of(const TileDots& a) {
  constexpr Index kVectors = kTileSide / kLanes;
  constexpr int kAtOnce = kVectors / Rows;
  for (Index o = 0; o < a.outputs; o += kTileSide) {
    const TernaryTile* tiles = a.tiles + o / kTileSide * (a.I / kTileSide);
    for (Index v = 0; v < kVectors; v += kAtOnce)
      tile_part<Rows, kAtOnce>(a.sums + o + v * kLanes, a.outputs, a.q, tiles->bytes + v * kBytes,
                               a.I);
  }
}

void tile_dots(const TileDots& a) {
  with_constant(a.rows, [&](auto rows) { tile_dots_of<rows>(a); });
}

// b (16) = codes as floats
void widen(float32x4_t (&b)[4], const std::int8_t* codes) {
  const int8x16_t bytes = load(codes);
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
  b[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
  b[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(low)));
  b[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
  b[3] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)));
}

// RowStep and DepthStep: distance in a of the next row and of the next term
template <Index RowStep, Index DepthStep>
void float_tile(const FloatTile& a) {
  constexpr int kVectors = 4;  // of 6 rows: 24 registers
  for (Index column = 0; column < a.columns; column += kVectors * kLanes) {
    float* out = a.c + column;
    float32x4_t c[kFloatRows][kVectors];  // in memory unless every loop over it is unrolled
#pragma GCC unroll 6
    for (int r = 0; r < kFloatRows; ++r)
      for (int v = 0; v < kVectors; ++v)
        c[r][v] =
            a.add && r < a.rows ? vld1q_f32(out + r * a.c_stride + v * kLanes) : vdupq_n_f32(0);
    for (Index r = 0; r < a.rows; ++r)  // the lines that the sums will be written to
      __builtin_prefetch(out + r * a.c_stride, 1);
    const std::int8_t* codes = a.codes + column;
    for (Index k = 0; k < a.depth; ++k, codes += a.codes_stride) {
      __builtin_prefetch(codes + kRowsAhead * a.codes_stride);
      float32x4_t b[kVectors];
      widen(b, codes);
#pragma GCC unroll 6
      for (int r = 0; r < kFloatRows; ++r) {
        const float32x4_t factor = vdupq_n_f32(a.a[r * RowStep + k * DepthStep]);
        for (int v = 0; v < kVectors; ++v) c[r][v] = vfmaq_f32(c[r][v], factor, b[v]);
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < kFloatRows; ++r)
      for (int v = 0; v < kVectors && r < a.rows; ++v)
        vst1q_f32(out + r * a.c_stride + v * kLanes, c[r][v]);
  }
}

constexpr CodeKernels kKernels{.name = "NEON dot product",
                               .integer_tile = integer_tile,
                               .integer_dots = integer_dots,
                               .tile_dots = tile_dots,
                               .float_tile_by_row = float_tile<kFloatRowStride, 1>,
                               .float_tile_by_depth = float_tile<1, kFloatRows>};

}  // namespace

const CodeKernels* code_kernels_neon() {
  return getauxval(AT_HWCAP) & HWCAP_ASIMDDP ? &kKernels : nullptr;
}

}  // namespace tern::cpu

#ifdef TERN_POP_ATTRIBUTE
#pragma clang attribute pop
#endif

#else

const tern::cpu::CodeKernels* tern::cpu::code_kernels_neon() {
  return nullptr;
}

#endif
