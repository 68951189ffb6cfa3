// Sizes of a row-major product c (M, N) = a (M, K) b (K, N), and how its operands are stored.
#pragma once

#include "core/shape.h"

namespace tern::cuda {

struct ProductShape {
  Index M = 0, N = 0, K = 0;
  bool transpose_a = false;  // a is stored (K, M)
  bool transpose_b = false;  // b is stored (N, K)
  auto operator<=>(const ProductShape&) const = default;
};

}  // namespace tern::cuda
