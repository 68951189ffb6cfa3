// The sum in columns that core/kernels/sums.h defines.
#pragma once

#include <algorithm>
#include <cmath>

#include "core/bfloat16.h"
#include "core/kernels/sums.h"

namespace tern::cpu {

// Sum of f(x[i]) over i in [0, n). A function of plain pointers: in a lambda that captures x by
// reference the compiler gathers it anew for every element.
template <class T, class F>
double column_sum(const T* x, Index n, F f) {
  alignas(64) double columns[kSumColumns] = {};
  for (Index row = 0; row < n; row += kSumColumns) {
    const Index width = std::min(kSumColumns, n - row);
#pragma omp simd
    for (Index c = 0; c < width; ++c) columns[c] += f(x[row + c]);
  }
  for (Index width = kSumColumns / 2; width > 0; width /= 2)
    for (Index c = 0; c < width; ++c) columns[c] = columns[2 * c] + columns[2 * c + 1];
  return columns[0];
}

inline double column_sum(const double* x, Index n) {
  return column_sum(x, n, [](double v) { return v; });
}

template <class R>
double sum_of_magnitudes(const R* x, Index n) {
  return column_sum(x, n, [](R v) { return std::abs(double(v)); });
}
template <class R>
double sum_of_squares(const R* x, Index n) {
  return column_sum(x, n, [](R v) { return double(wide(v)) * double(wide(v)); });
}

}  // namespace tern::cpu
