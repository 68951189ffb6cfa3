// AVX-512: one instruction multiplies and adds 64 pairs of bytes (VNNI) or 16 pairs of floats.
#include "core/cpu/code_kernels.h"

#ifdef __x86_64__
#include <immintrin.h>

#include <cstring>

// for what follows only: the rest of the program must run on CPUs without it
#ifdef __clang__
#pragma clang attribute push(                                                     \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma"))), \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")
#endif

namespace tern::cpu {
namespace {

constexpr Index kRowsAhead = 16;  // of codes to fetch: their rows are far apart

int four_codes(const std::int8_t* q) {
  int word;
  std::memcpy(&word, q, 4);
  return word;
}

// 8 rows x 2 vectors: 16 sums hide the latency, and more make the compiler move registers.
template <int Rows>
void integer_tile_of(const IntegerTile& a) {
  __m512i sums[Rows][2];
  for (int r = 0; r < Rows; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_si512();
  const std::uint8_t* panel = a.panel;
  for (Index i = 0; i < a.I; i += 4, panel += 128) {
    const __m512i left = _mm512_loadu_si512(panel), right = _mm512_loadu_si512(panel + 64);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const __m512i q = _mm512_set1_epi32(four_codes(a.q + r * a.q_stride + i));
      sums[r][0] = _mm512_dpbusd_epi32(sums[r][0], left, q);
      sums[r][1] = _mm512_dpbusd_epi32(sums[r][1], right, q);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    _mm512_storeu_si512(a.sums + r * kIntegerColumns, sums[r][0]);
    _mm512_storeu_si512(a.sums + r * kIntegerColumns + 16, sums[r][1]);
  }
}

void integer_tile(const IntegerTile& a) {
  if (a.rows == kIntegerRows)
    integer_tile_of<kIntegerRows>(a);
  else
    integer_tile_of<1>(a);
}

void integer_dots(const IntegerDots& a) {
  const __m512i one = _mm512_set1_epi8(1);
  const Index whole = a.I / 64 * 64;
  const __mmask64 rest = (__mmask64(1) << (a.I - whole)) - 1;
  for (Index o = 0; o < a.outputs; ++o) {
    const std::int8_t* t = a.t + o * a.I;
    __m512i sum = _mm512_setzero_si512();
    for (Index i = 0; i < whole; i += 64)
      sum = _mm512_dpbusd_epi32(sum, _mm512_add_epi8(_mm512_loadu_si512(t + i), one),
                                _mm512_loadu_si512(a.q + i));
    if (rest)
      sum = _mm512_dpbusd_epi32(sum, _mm512_add_epi8(_mm512_maskz_loadu_epi8(rest, t + whole), one),
                                _mm512_maskz_loadu_epi8(rest, a.q + whole));
    a.sums[o] = _mm512_reduce_add_epi32(sum);
  }
}

// Of one row of tiles at a time; a tile has 16 outputs, one in each lane.
template <int Rows>
void tile_dots_of(const TileDots& a) {
  for (Index o = 0; o < a.outputs; o += kTileSide) {
    const TernaryTile* tile = a.tiles + o / kTileSide * (a.I / kTileSide);
    __m512i sums[Rows][4];  // of the fields of a byte: the second counts four times, and so on
    for (int r = 0; r < Rows; ++r)
      for (int p = 0; p < 4; ++p) sums[r][p] = _mm512_setzero_si512();
    for (Index i = 0; i < a.I; i += kTileSide, ++tile) {
      fetch_tiles(tile);
      const __m512i bytes = _mm512_loadu_si512(tile->bytes);
#pragma GCC unroll 4
      for (int p = 0; p < 4; ++p) {
        const __m512i codes = _mm512_and_si512(bytes, _mm512_set1_epi8(char(3 << 2 * p)));
#pragma GCC unroll 4
        for (int r = 0; r < Rows; ++r)
          sums[r][p] = _mm512_dpbusd_epi32(
              sums[r][p], codes, _mm512_set1_epi32(four_codes(a.q + r * a.I + i + 4 * p)));
      }
    }
    for (int r = 0; r < Rows; ++r) {
      const __m512i low = _mm512_add_epi32(sums[r][0], _mm512_srai_epi32(sums[r][1], 2));
      const __m512i high =
          _mm512_add_epi32(_mm512_srai_epi32(sums[r][2], 4), _mm512_srai_epi32(sums[r][3], 6));
      _mm512_storeu_si512(a.sums + r * a.outputs + o, _mm512_add_epi32(low, high));
    }
  }
}

void tile_dots(const TileDots& a) {
  with_constant(a.rows, [&](auto rows) { tile_dots_of<rows>(a); });
}

// RowStep and DepthStep: distance in a of the next row and of the next term
template <int Vectors, Index RowStep, Index DepthStep>
void float_tile_of(const FloatTile& a) {
  __m512 c[kFloatRows][Vectors];
  for (int r = 0; r < kFloatRows; ++r)
    for (int v = 0; v < Vectors; ++v)
      c[r][v] = a.add && r < a.rows ? _mm512_loadu_ps(a.c + r * a.c_stride + 16 * v)
                                    : _mm512_setzero_ps();
  for (Index r = 0; r < a.rows; ++r)  // the lines that the sums will be written to
    for (int v = 0; v < Vectors; ++v) __builtin_prefetch(a.c + r * a.c_stride + 16 * v, 1);
  const std::int8_t* codes = a.codes;
  for (Index k = 0; k < a.depth; ++k, codes += a.codes_stride) {
    __builtin_prefetch(codes + kRowsAhead * a.codes_stride);
    __m512 b[Vectors];
    for (int v = 0; v < Vectors; ++v)
      b[v] = _mm512_cvtepi32_ps(
          _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + 16 * v))));
#pragma GCC unroll 6
    for (int r = 0; r < kFloatRows; ++r) {
      const __m512 factor = _mm512_set1_ps(a.a[r * RowStep + k * DepthStep]);
      for (int v = 0; v < Vectors; ++v) c[r][v] = _mm512_fmadd_ps(factor, b[v], c[r][v]);
    }
  }
  for (int r = 0; r < kFloatRows; ++r)
    for (int v = 0; v < Vectors && r < a.rows; ++v)
      _mm512_storeu_ps(a.c + r * a.c_stride + 16 * v, c[r][v]);
}

template <Index RowStep, Index DepthStep>
void float_tile(const FloatTile& a) {
  with_constant(a.columns / 16,
                [&](auto vectors) { float_tile_of<vectors, RowStep, DepthStep>(a); });
}

constexpr CodeKernels kKernels{.name = "AVX-512 VNNI",
                               .integer_tile = integer_tile,
                               .integer_dots = integer_dots,
                               .tile_dots = tile_dots,
                               .float_tile_by_row = float_tile<kFloatRowStride, 1>,
                               .float_tile_by_depth = float_tile<1, kFloatRows>};

}  // namespace

const CodeKernels* code_kernels_avx512() {
  const bool there = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512vnni");
  return there ? &kKernels : nullptr;
}

}  // namespace tern::cpu

#ifdef __clang__
#pragma clang attribute pop
#endif

#else

const tern::cpu::CodeKernels* tern::cpu::code_kernels_avx512() {
  return nullptr;
}

#endif
