// AVX2: pairs of products of bytes are added in 16 bits, which weights of 0 to 2 cannot overflow
// for 63 steps; 16 registers hold a tile of 6 x 16 floats.
#include "core/cpu/code_kernels.h"

#ifdef __x86_64__
#include <immintrin.h>

#include <algorithm>
#include <cstring>

// for what follows only: the rest of the program must run on CPUs without it
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

namespace tern::cpu {
namespace {

constexpr Index kSteps = 60;      // of |2 * 2 * 128| each: below 2^15
constexpr Index kTileSteps = 16;  // the same of a row of a tile, four |2 * 2 * 128| each
constexpr int kRowsAtOnce = 4;
constexpr Index kRowsAhead = 16;  // of codes to fetch: their rows are far apart

int four_codes(const std::int8_t* q) {
  int word;
  std::memcpy(&word, q, 4);
  return word;
}

__m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

// sums += the pairs of 16-bit sums
void flush(std::int32_t* sums, __m256i pairs) {
  const __m256i wide = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), _mm256_add_epi32(load(sums), wide));
}

// 16 columns of up to kSteps quads
template <int Rows>
void integer_part(std::int32_t* sums, const std::int8_t* q, Index q_stride,
                  const std::uint8_t* panel, Index quads) {
  __m256i pairs[Rows][2];
  for (int r = 0; r < Rows; ++r) pairs[r][0] = pairs[r][1] = _mm256_setzero_si256();
  for (Index k = 0; k < quads; ++k, panel += 4 * kIntegerColumns) {
    const __m256i left = load(panel), right = load(panel + 32);
    for (int r = 0; r < Rows; ++r) {
      const __m256i four = _mm256_set1_epi32(four_codes(q + r * q_stride + 4 * k));
      pairs[r][0] = _mm256_add_epi16(pairs[r][0], _mm256_maddubs_epi16(left, four));
      pairs[r][1] = _mm256_add_epi16(pairs[r][1], _mm256_maddubs_epi16(right, four));
    }
  }
  for (int r = 0; r < Rows; ++r) {
    flush(sums + r * kIntegerColumns, pairs[r][0]);
    flush(sums + r * kIntegerColumns + 8, pairs[r][1]);
  }
}

void integer_tile(const IntegerTile& a) {
  std::fill_n(a.sums, a.rows * kIntegerColumns, 0);
  for (Index k = 0; k < a.I / 4; k += kSteps) {
    const Index quads = std::min(kSteps, a.I / 4 - k);
    for (Index half = 0; half < 2; ++half) {
      const std::uint8_t* panel = a.panel + 4 * (k * kIntegerColumns + 16 * half);
      const std::int8_t* q = a.q + 4 * k;
      std::int32_t* sums = a.sums + 16 * half;
      if (a.rows == 1) integer_part<1>(sums, q, a.q_stride, panel, quads);
      for (Index r = 0; a.rows > 1 && r < a.rows; r += kRowsAtOnce)
        integer_part<kRowsAtOnce>(sums + r * kIntegerColumns, q + r * a.q_stride, a.q_stride, panel,
                                  quads);
    }
  }
}

std::int32_t horizontal_sum(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

void integer_dots(const IntegerDots& a) {
  const __m256i one = _mm256_set1_epi8(1), ones = _mm256_set1_epi16(1);
  const Index whole = a.I / 32 * 32;
  for (Index o = 0; o < a.outputs; ++o) {
    const std::int8_t* t = a.t + o * a.I;
    __m256i sum = _mm256_setzero_si256();
    for (Index i = 0; i < whole; i += 32) {
      const __m256i pairs = _mm256_maddubs_epi16(_mm256_add_epi8(load(t + i), one), load(a.q + i));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
    std::int32_t rest = 0;
    for (Index i = whole; i < a.I; ++i) rest += (t[i] + 1) * a.q[i];
    a.sums[o] = horizontal_sum(sum) + rest;
  }
}

// 16 outputs of up to kTileSteps tiles, one below the other
template <int Rows>
void tile_part(std::int32_t* sums, Index sums_stride, const std::int8_t* q, Index q_stride,
               const TernaryTile* tiles, Index count) {
  const __m256i three = _mm256_set1_epi8(3);
  __m256i pairs[Rows][2];
  for (int r = 0; r < Rows; ++r) pairs[r][0] = pairs[r][1] = _mm256_setzero_si256();
  for (Index k = 0; k < count; ++k, q += kTileSide) {
    fetch_tiles(tiles + k);
    __m256i codes[2][4];
    for (int half = 0; half < 2; ++half) {
      const __m256i bytes = load(tiles[k].bytes + 32 * half);
      for (int p = 0; p < 4; ++p)
        codes[half][p] = _mm256_and_si256(_mm256_srli_epi16(bytes, 2 * p), three);
    }
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      __m256i products[2][4];
      for (int p = 0; p < 4; ++p) {
        const __m256i four = _mm256_set1_epi32(four_codes(q + r * q_stride + 4 * p));
        for (int half = 0; half < 2; ++half)
          products[half][p] = _mm256_maddubs_epi16(codes[half][p], four);
      }
      for (int half = 0; half < 2; ++half) {
        const __m256i* of = products[half];
        pairs[r][half] = _mm256_add_epi16(
            pairs[r][half],
            _mm256_add_epi16(_mm256_add_epi16(of[0], of[1]), _mm256_add_epi16(of[2], of[3])));
      }
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int half = 0; half < 2; ++half) flush(sums + r * sums_stride + 8 * half, pairs[r][half]);
}

template <int Rows>
void tile_dots_of(const TileDots& a) {
  const Index across = a.I / kTileSide;
  for (Index o = 0; o < a.outputs; o += kTileSide)
    for (Index k = 0; k < across; k += kTileSteps)
      tile_part<Rows>(a.sums + o, a.outputs, a.q + k * kTileSide, a.I,
                      a.tiles + o / kTileSide * across + k, std::min(kTileSteps, across - k));
}

void tile_dots(const TileDots& a) {
  std::fill_n(a.sums, a.rows * a.outputs, 0);
  with_constant(a.rows, [&](auto rows) { tile_dots_of<rows>(a); });
}

// RowStep and DepthStep: distance in a of the next row and of the next term
template <Index RowStep, Index DepthStep>
void float_tile(const FloatTile& a) {
  for (Index column = 0; column < a.columns; column += 16) {
    float* out = a.c + column;
    __m256 c[kFloatRows][2];
    for (int r = 0; r < kFloatRows; ++r)
      for (int v = 0; v < 2; ++v)
        c[r][v] = a.add && r < a.rows ? _mm256_loadu_ps(out + r * a.c_stride + 8 * v)
                                      : _mm256_setzero_ps();
    for (Index r = 0; r < a.rows; ++r)  // the lines that the sums will be written to
      __builtin_prefetch(out + r * a.c_stride, 1);
    const std::int8_t* codes = a.codes + column;
    for (Index k = 0; k < a.depth; ++k, codes += a.codes_stride) {
      __builtin_prefetch(codes + kRowsAhead * a.codes_stride);
      __m256 b[2];
      for (int v = 0; v < 2; ++v)
        b[v] = _mm256_cvtepi32_ps(
            _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + 8 * v))));
#pragma GCC unroll 6
      for (int r = 0; r < kFloatRows; ++r) {
        const __m256 factor = _mm256_set1_ps(a.a[r * RowStep + k * DepthStep]);
        for (int v = 0; v < 2; ++v) c[r][v] = _mm256_fmadd_ps(factor, b[v], c[r][v]);
      }
    }
    for (int r = 0; r < kFloatRows; ++r)
      for (int v = 0; v < 2 && r < a.rows; ++v)
        _mm256_storeu_ps(out + r * a.c_stride + 8 * v, c[r][v]);
  }
}

constexpr CodeKernels kKernels{.name = "AVX2",
                               .integer_tile = integer_tile,
                               .integer_dots = integer_dots,
                               .tile_dots = tile_dots,
                               .float_tile_by_row = float_tile<kFloatRowStride, 1>,
                               .float_tile_by_depth = float_tile<1, kFloatRows>};

}  // namespace

const CodeKernels* code_kernels_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kKernels : nullptr;
}

}  // namespace tern::cpu

#ifdef __clang__
#pragma clang attribute pop
#endif

#else

const tern::cpu::CodeKernels* tern::cpu::code_kernels_avx2() {
  return nullptr;
}

#endif
