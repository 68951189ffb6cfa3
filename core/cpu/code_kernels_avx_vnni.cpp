// AVX-VNNI, of CPUs without AVX-512: one instruction multiplies and adds 32 pairs of bytes. Float
// tiles are AVX2's.
#include "core/cpu/code_kernels.h"

#ifdef __x86_64__
#include <immintrin.h>

#include <algorithm>
#include <cstring>

// for what follows only: the rest of the program must run on CPUs without it
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,avxvnni"))), apply_to = function)
#else
#pragma GCC target("avx2,avxvnni")
#endif

namespace tern::cpu {
namespace {

__m256i four_codes(const std::int8_t* q) {
  int word;
  std::memcpy(&word, q, 4);
  return _mm256_set1_epi32(word);
}

__m256i load(const std::uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

void store(std::int32_t* to, __m256i x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x);
}

// 16 columns: 4 rows x 2 vectors, since there are 16 registers
template <int Rows>
void integer_part(std::int32_t* sums, const std::int8_t* q, Index q_stride,
                  const std::uint8_t* panel, Index I) {
  __m256i parts[Rows][2];
  for (int r = 0; r < Rows; ++r) parts[r][0] = parts[r][1] = _mm256_setzero_si256();
  for (Index i = 0; i < I; i += 4, panel += 4 * kIntegerColumns) {
    const __m256i left = load(panel), right = load(panel + 32);
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      const __m256i four = four_codes(q + r * q_stride + i);
      parts[r][0] = _mm256_dpbusd_avx_epi32(parts[r][0], left, four);
      parts[r][1] = _mm256_dpbusd_avx_epi32(parts[r][1], right, four);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    store(sums + r * kIntegerColumns, parts[r][0]);
    store(sums + r * kIntegerColumns + 8, parts[r][1]);
  }
}

void integer_tile(const IntegerTile& a) {
  constexpr int kRowsAtOnce = 4;
  for (Index column = 0; column < kIntegerColumns; column += 16) {
    std::int32_t* sums = a.sums + column;
    const std::uint8_t* panel = a.panel + 4 * column;
    if (a.rows == 1) integer_part<1>(sums, a.q, a.q_stride, panel, a.I);
    for (Index r = 0; a.rows > 1 && r < a.rows; r += kRowsAtOnce)
      integer_part<kRowsAtOnce>(sums + r * kIntegerColumns, a.q + r * a.q_stride, a.q_stride, panel,
                                a.I);
  }
}

// 8 rows of the tiles that lie one below the other in `bytes`
template <int Rows>
void tile_part(std::int32_t* sums, Index outputs, const std::int8_t* q, const std::uint8_t* bytes,
               Index I) {
  __m256i parts[Rows][4];  // of the fields of a byte: the second counts four times, and so on
  for (int r = 0; r < Rows; ++r)
    for (int p = 0; p < 4; ++p) parts[r][p] = _mm256_setzero_si256();
  for (Index i = 0; i < I; i += kTileSide, bytes += sizeof(TernaryTile)) {
    fetch_tiles(bytes);
    const __m256i packed = load(bytes);
#pragma GCC unroll 4
    for (int p = 0; p < 4; ++p) {
      const __m256i codes = _mm256_and_si256(packed, _mm256_set1_epi8(char(3 << 2 * p)));
      for (int r = 0; r < Rows; ++r)
        parts[r][p] =
            _mm256_dpbusd_avx_epi32(parts[r][p], codes, four_codes(q + r * I + i + 4 * p));
    }
  }
  for (int r = 0; r < Rows; ++r) {
    const __m256i low = _mm256_add_epi32(parts[r][0], _mm256_srai_epi32(parts[r][1], 2));
    const __m256i high =
        _mm256_add_epi32(_mm256_srai_epi32(parts[r][2], 4), _mm256_srai_epi32(parts[r][3], 6));
    store(sums + r * outputs, _mm256_add_epi32(low, high));
  }
}

void tile_dots(const TileDots& a) {
  for (Index o = 0; o < a.outputs; o += kTileSide) {
    const TernaryTile* tiles = a.tiles + o / kTileSide * (a.I / kTileSide);
    for (Index half = 0; half < 2; ++half)
      for (Index r = 0; r < a.rows; r += 2) {
        std::int32_t* sums = a.sums + r * a.outputs + o + 8 * half;
        const std::uint8_t* bytes = tiles->bytes + 32 * half;
        if (r + 1 < a.rows)
          tile_part<2>(sums, a.outputs, a.q + r * a.I, bytes, a.I);
        else
          tile_part<1>(sums, a.outputs, a.q + r * a.I, bytes, a.I);
      }
  }
}

CodeKernels of_avx2(const CodeKernels& avx2) {
  CodeKernels kernels = avx2;
  kernels.name = "AVX-VNNI";
  kernels.integer_tile = integer_tile;
  kernels.tile_dots = tile_dots;
  return kernels;
}

}  // namespace

const CodeKernels* code_kernels_avx_vnni() {
  if (!__builtin_cpu_supports("avxvnni") || !code_kernels_avx2()) return nullptr;
  static const CodeKernels kernels = of_avx2(*code_kernels_avx2());
  return &kernels;
}

}  // namespace tern::cpu

#ifdef __clang__
#pragma clang attribute pop
#endif

#else

const tern::cpu::CodeKernels* tern::cpu::code_kernels_avx_vnni() {
  return nullptr;
}

#endif
