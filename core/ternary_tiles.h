// How DType::t2 holds a ternary matrix (O, I): two bits a weight, in tiles of 16 x 16, on the host.
// Files hold the same bytes.
//
// Tile (r, c) has rows 16 r to 16 r + 15 and columns 16 c to 16 c + 15; tiles lie in the order of
// r, then c. In a tile, row i has the bytes 4 i to 4 i + 3, and the bits 2 p and 2 p + 1 of its
// byte b are the code of column 4 p + b: w + 1, so 0, 1 or 2. What exceeds the matrix has code 1.
#pragma once

#include <optional>

#include "core/dtype.h"
#include "core/shape.h"

namespace tern {

inline constexpr Index kTileSide = 16;  // rows and columns of a tile

// tiles along a dimension of n
constexpr Index tiles_along(Index n) {
  return (n + kTileSide - 1) / kTileSide;
}
// tiles of a matrix (O, I)
constexpr Index tiles_of(Index O, Index I) {
  return tiles_along(O) * tiles_along(I);
}

// t (O, I) in {-1, 0, 1} -> tiles (tiles_of(O, I))
void pack_tiles(TernaryTile* tiles, const std::int8_t* t, Index O, Index I);
// Rows [first, first + count) of the matrix whose tiles begin at `tiles`, as t (count, I).
void unpack_tiles(std::int8_t* t, const TernaryTile* tiles, Index first, Index count, Index I);

// Where a code is wrong: a 3, or another than 1 outside of the matrix.
struct WrongCode {
  Index row = 0, column = 0;
  int code = 0;
};
// The first one in the order of tiles, then rows; nullopt: there is none.
std::optional<WrongCode> find_wrong_code(const TernaryTile* tiles, Index O, Index I);

}  // namespace tern
