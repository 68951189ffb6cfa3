// The innermost loops of products with int8 codes, written in the vector instructions of one kind
// of CPU and chosen when the program runs. Integer sums are exact: every kind gives the same bits.
#pragma once

#include <type_traits>

#include "core/kernels/product.h"
#include "core/ternary_tiles.h"

namespace tern::cpu {

inline constexpr Index kIntegerRows = 8;      // activations of one integer tile
inline constexpr Index kIntegerColumns = 32;  // weights of one integer tile
inline constexpr Index kTileDotsRows = 4;     // activations that share a pass over tiles
// Into the second cache: more than a CPU fetches on its own, and no multiple of a page (64), with
// which each new page is first asked for by the fetch and by the load at about the same time. The
// first cache has room for few fetches under way: those from memory would fill it.
inline constexpr Index kTilesAhead = 200;
inline constexpr Index kTilesNear = 8;  // into the first
[[gnu::always_inline]] inline void fetch_tiles(const void* at) {
  const char* bytes = static_cast<const char*>(at);
  __builtin_prefetch(bytes + kTilesAhead * sizeof(TernaryTile), 0, 2);
  __builtin_prefetch(bytes + kTilesNear * sizeof(TernaryTile));
}
inline constexpr Index kFloatRows = 6;      // rows of one float tile
inline constexpr Index kFloatColumns = 64;  // columns of one float tile
inline constexpr Index kFloatDepth = 256;   // terms that one float tile sums at most
inline constexpr Index kFloatRowStride = kFloatDepth + 16;  // elements; no power of two

// sums (rows, kIntegerColumns) = q (rows, I) . (t + 1)^T. The instructions of x86 take one unsigned
// operand, so weights enter as t + 1 in {0, 1, 2} and the caller subtracts the sum of q's row.
struct IntegerTile {
  std::int32_t* sums = nullptr;  // out, row-major
  const std::int8_t* q = nullptr;
  Index q_stride = 0;
  Index rows = 0;                       // 1 or kIntegerRows
  const std::uint8_t* panel = nullptr;  // (I / 4, kIntegerColumns, 4): t + 1
  Index I = 0;                          // a multiple of 16
};

// sums[o] = q . (t[o] + 1) for one row q (I) and rows of t (outputs, I): reads each weight once.
struct IntegerDots {
  std::int32_t* sums = nullptr;  // out (outputs)
  const std::int8_t *q = nullptr, *t = nullptr;
  Index outputs = 0, I = 0;  // I a multiple of 16
};

// sums (rows, outputs) = q (rows, I) . (t + 1)^T for weights in tiles: reads each weight once.
struct TileDots {
  std::int32_t* sums = nullptr;  // out, row-major
  const std::int8_t* q = nullptr;
  const TernaryTile* tiles = nullptr;  // (outputs / kTileSide, I / kTileSide)
  Index rows = 0;                      // 1 to kTileDotsRows
  Index outputs = 0, I = 0;            // multiples of kTileSide
};

// c (rows, columns) = a (rows, depth) . codes (depth, columns), or += if add
struct FloatTile {
  float* c = nullptr;
  Index c_stride = 0, rows = 0, columns = 0;  // columns a multiple of 16, at most kFloatColumns
  bool add = false;
  const float* a = nullptr;  // kFloatRows rows whatever `rows` is; layout below
  const std::int8_t* codes = nullptr;
  Index codes_stride = 0, depth = 0;
};

// body(n), 1 to 4, with n as a constant
template <class Body>
void with_constant(Index n, Body&& body) {
  switch (n) {
    case 1:
      return body(std::integral_constant<int, 1>());
    case 2:
      return body(std::integral_constant<int, 2>());
    case 3:
      return body(std::integral_constant<int, 3>());
    default:
      return body(std::integral_constant<int, 4>());
  }
}

struct CodeKernels {
  const char* name;
  void (*integer_tile)(const IntegerTile&);
  void (*integer_dots)(const IntegerDots&);
  void (*tile_dots)(const TileDots&);
  void (*float_tile_by_row)(const FloatTile&);    // a[row * kFloatRowStride + k]
  void (*float_tile_by_depth)(const FloatTile&);  // a[k * kFloatRows + row]
};

// Null where this CPU or this build lacks the instructions.
const CodeKernels* code_kernels_avx512();  // AVX-512 with VNNI
const CodeKernels* code_kernels_avx_vnni();
const CodeKernels* code_kernels_avx2();
const CodeKernels* code_kernels_neon();  // with the dot product of ARMv8.2
const CodeKernels* code_kernels();       // the best of them

// Float products with int8 codes, tiled over threads and fed to the CPU's own instructions. The
// general definition, for any size, f64 and any CPU, is in core/cpu/product.cpp.

// The kernels that can take products of this dtype with these weights, or null: use the general
// way.
const CodeKernels* code_kernels_for(DType real, const Tensor& t);

// The same bits as the general way, whichever kernels are used.
void ternary_product(const CodeKernels& kernels, const TernaryProduct& a);
// The same bits for all kernels; the order of summation is fixed by the sizes alone.
void ternary_product_backward(const CodeKernels& kernels, const TernaryProductBackward& a);

}  // namespace tern::cpu
