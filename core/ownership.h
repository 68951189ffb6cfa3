// Ownership of parameters when several ranks share the update of one model. Functions of sizes
// alone: every rank, and a plan made without ranks, computes the same answer.
#pragma once

#include <span>
#include <vector>

#include "core/shape.h"

namespace tern {

// One owner of several.
struct Shard {
  int rank = 0, size = 1;
  bool alone() const { return size == 1; }
};

// Elements [first, first + count) of a flat buffer.
struct Range {
  Index first = 0, count = 0;
  Index end() const { return first + count; }
};

// Of `count` things in a row those of one rank; the parts differ by at most one.
Range even_part(Index count, Shard shard);

// The owner of each whole matrix: the largest first, each to the rank that has the fewest elements
// so far, of equals to the lowest.
std::vector<int> owners_of_matrices(std::span<const Index> elements, int ranks);

// Rows of each rank in a table that all ranks divide: as even as whole groups of 64 elements allow.
std::vector<Range> divide_rows(Index rows, Index row_elements, int ranks);

}  // namespace tern
