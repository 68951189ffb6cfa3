// Sums over flat buffers: in f64, and in an order that depends on their sizes alone.
#pragma once

#include "core/shape.h"

namespace tern {

// A sum in columns: of kSumColumns numbers, number c adds x[c], x[c + kSumColumns], ... in order;
// then neighbours are added, x[0] + x[1], x[2] + x[3], ..., until one number is left.
inline constexpr Index kSumColumns = 1024;
// Elements of one partial sum, itself a sum in columns, of |w| and of g^2.
inline constexpr Index kSumPiece = 4 * kSumColumns, kNormPiece = 32 * kSumColumns;

constexpr Index sum_pieces(Index n, Index piece = kSumPiece) {
  return (n + piece - 1) / piece;
}

}  // namespace tern
