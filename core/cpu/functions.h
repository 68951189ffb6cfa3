// exp and its relatives on rows. Vectorised, and yet an element has the same bits wherever it lies:
// Eigen computes exp in registers and at a row's ragged ends by different formulas, so rows are cut
// into whole registers here and the last one is padded.
#pragma once

#include <Eigen/Core>
#include <algorithm>

#include "core/tensor.h"

namespace tern::cpu {

// the elements of a few whole registers of any vector unit
template <class R>
using Block = Eigen::Array<R, 128 / sizeof(R), 1>;

// y[i] = f(x[i]), f a function of blocks; y may be x
template <class R, class F>
void map_blocks(R* y, const R* x, Index n, F&& f) {
  constexpr Index size = Block<R>::SizeAtCompileTime;
  Index i = 0;
  for (; i + size <= n; i += size) {  // copies of a constant size are moves of registers
    Block<R> in;
    std::copy_n(x + i, size, in.data());
    const Block<R> out = f(in);
    std::copy_n(out.data(), size, y + i);
  }
  if (i == n) return;
  Block<R> in = Block<R>::Zero();
  std::copy_n(x + i, n - i, in.data());
  const Block<R> out = f(in);
  std::copy_n(out.data(), n - i, y + i);
}

// y = exp(x - offset)
template <class R>
void exp_row(R* y, const R* x, Index n, R offset = 0) {
  map_blocks(y, x, n, [&](const Block<R>& in) -> Block<R> { return (in - offset).exp(); });
}

// y = 1 / (1 + exp(-x))
template <class R>
void sigmoid_row(R* y, const R* x, Index n) {
  map_blocks(y, x, n, [](const Block<R>& in) -> Block<R> { return ((-in).exp() + 1).inverse(); });
}

// y = x * sigmoid(x)
template <class R>
void silu_row(R* y, const R* x, Index n) {
  map_blocks(y, x, n,
             [](const Block<R>& in) -> Block<R> { return in * ((-in).exp() + 1).inverse(); });
}

// Eigen views of memory. Private to core/cpu: no other folder sees Eigen.
template <class R>
using Matrix = Eigen::Matrix<R, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class R>
using Rows = Eigen::Map<Matrix<R>, 0, Eigen::OuterStride<>>;
template <class R>
using ConstRows = Eigen::Map<const Matrix<R>, 0, Eigen::OuterStride<>>;

}  // namespace tern::cpu
