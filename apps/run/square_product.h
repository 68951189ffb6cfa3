// A product of square matrices of random numbers, the unit of "share of peak".
#pragma once

#include "core/backend.h"

namespace tern {

class SquareProduct {
 public:
  SquareProduct(Backend& on, DType dtype, Index n);  // n: a multiple of 64
  double seconds() const;                            // that one product takes now
  double flops() const { return 2.0 * double(n_) * double(n_) * double(n_); }

 private:
  Index n_;
  Tensor x_, w_, y_;  // (n, n)
};

}  // namespace tern
