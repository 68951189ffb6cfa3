// One row at a time: the arithmetic that the norms and quantisers share.
#pragma once

#include <cmath>

#include "core/bfloat16.h"
#include "core/cpu/parallel.h"
#include "core/kernels.h"
#include "core/kernels/quantize.h"

namespace tern::cpu {

// Sums over a row in an order that no compiler and no vector unit decides: of kRowColumns numbers,
// number c adds the terms c, c + kRowColumns, ... in order; then the groups of four are added in
// order, and then the four. PyTorch on a CPU adds f64 rows so.
inline constexpr Index kRowColumns = 16;

// term(i): the i-th of n terms
template <class R, class Term>
R row_sum(Index n, Term term) {
  alignas(64) R columns[kRowColumns] = {};
  Index i = 0;
  for (; i + kRowColumns <= n; i += kRowColumns)
    for (Index c = 0; c < kRowColumns; ++c) columns[c] += term(i + c);
  for (Index c = 0; i + c < n; ++c) columns[c] += term(i + c);
  for (Index group = 4; group < kRowColumns; group += 4)
    for (Index c = 0; c < 4; ++c) columns[c] += columns[group + c];
  return columns[0] + columns[1] + columns[2] + columns[3];
}

template <class R>
R dot(const R* a, const R* b, Index n) {
  return row_sum<R>(n, [=](Index i) { return a[i] * b[i]; });
}

template <class R>
R total(const R* x, Index n) {
  return row_sum<R>(n, [=](Index i) { return x[i]; });
}

template <class R>
R largest(const R* x, Index n) {
  R top = x[0];
#pragma omp simd reduction(max : top)
  for (Index i = 0; i < n; ++i) top = x[i] > top ? x[i] : top;  // std::max takes its address
  return top;
}

// sqrt(mean(x^2) + eps)
template <class R>
R root_mean_square(const R* x, Index n, double eps) {
  return std::sqrt(dot(x, x, n) / R(n) + R(eps));
}

// y = x / rms * w: a true division, on which the code of a value that is exactly k + 1/2 may depend
template <class R>
void normalize(R* y, const R* x, R rms, const R* w, Index n) {
  for (Index i = 0; i < n; ++i) y[i] = x[i] / rms * w[i];
}

// dx = rstd * (z - x * rstd^2 * mean(z x)), z the gradient of x * rstd
template <class R>
void normalize_backward(R* dx, const R* z, const R* x, R rstd, Index n) {
  const R mean = dot(z, x, n) / R(n) * rstd * rstd;
  for (Index i = 0; i < n; ++i) dx[i] = rstd * (z[i] - x[i] * mean);
}

// q = clamp(round(x * scale), low, high), halves to even
template <class R>
void round_row(std::int8_t* q, const R* x, R scale, R low, R high, Index n) {
#pragma omp simd
  for (Index i = 0; i < n; ++i)
    q[i] = std::int8_t(std::min(high, std::max(low, std::nearbyint(x[i] * scale))));
}

// int8 row and its scale 127 / max(absmax, 1e-5); NaN and zeros if the row is not finite
template <class R>
R quantize_row(std::int8_t* q, const R* x, Index n) {
  R top = 0, nonfinite = 0;
#pragma omp simd reduction(max : top) reduction(+ : nonfinite)
  for (Index i = 0; i < n; ++i) {
    top = std::max(top, std::abs(x[i]));
    nonfinite += x[i] * 0;  // 0, or NaN if any element is not finite
  }
  if (nonfinite != 0 || std::isnan(nonfinite)) {
    std::fill_n(q, n, std::int8_t(0));
    return std::numeric_limits<R>::quiet_NaN();
  }
  const R scale = R(127) / std::max(top, R(1e-5));
  round_row(q, x, scale, R(-128), R(127), n);
  return scale;
}

// Sums per-chunk partial rows (chunks, n) in chunk order into to.
template <class R>
void reduce_partials(const Grad& to, const std::vector<R>& partials, Index n) {
  const Index chunks = Index(partials.size()) / std::max<Index>(1, n);
  visit_stored<R>(to.to, [&]<class Stored>(Stored* out) {
    for_chunks(n, 256, [&](Index, Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        R sum = to.add ? to_real(out[i]) : 0;
        for (Index c = 0; c < chunks; ++c) sum += partials[c * n + i];
        out[i] = to_stored<Stored>(sum);
      }
    });
  });
}

// room for the partial sums of a reduction over N rows of n columns; empty if not needed
template <class R>
std::vector<R> partials_for(const Grad& wanted, Index N, Index n) {
  const Index size = reduction_chunk(N);
  return std::vector<R>(wanted ? (N + size - 1) / size * n : 0, R(0));
}

// The sum in columns that core/kernels/quantize.h defines.

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
  return column_sum(x, n, [](R v) { return double(to_real(v)) * double(to_real(v)); });
}

// The last stage of every fused quantiser: a row is normalised, weighted, and rounded to int8, or
// kept as it is when the model is not quantised. Or its codes leave as quotients.
template <class R>
struct RowWriter {
  RowWriter() = default;
  explicit RowWriter(const NormalizedRow& row) : weight(row.weight.data<R>()) {
    scale = data_or_null<R>(row.y.row_scale);
    if (row.y.q.dtype() == DType::i8)
      q = row.y.q.data<std::int8_t>();
    else
      real = row.y.q.data<R>();
  }

  // u (D) is the row before this norm; normalized (D) is scratch
  void write(Index n, const R* u, R rms, R* normalized, Index D) const {
    R* to = real ? real + n * D : normalized;
    normalize(to, u, rms, weight, D);
    if (!scale) return;
    std::int8_t* codes = q ? q + n * D : scratch<std::int8_t, 0>(D);
    scale[n] = quantize_row(codes, to, D);
    if (real)
      for (Index i = 0; i < D; ++i) to[i] = R(codes[i]) / scale[n];
  }

  const R* weight = nullptr;
  std::int8_t* q = nullptr;
  R *scale = nullptr, *real = nullptr;  // no scale: nothing is rounded
};

template <class R>
struct RowGradReader {
  RowGradReader() = default;
  RowGradReader(const NormalizedRowGrad& row, Index N, Index D)
      : dy(data_or_null<R>(row.dy)), weight(row.weight.data<R>()) {
    dweight = partials_for<R>(row.dweight, N, D);
  }

  // adds dy * weight to z (D) and dy * u * rstd to the partial sums of chunk c
  void read(Index c, Index n, const R* u, R rstd, R* z, Index D) {
    if (!dy) return;
    const R* d = dy + n * D;
    for (Index i = 0; i < D; ++i) z[i] += d[i] * weight[i];
    if (dweight.empty()) return;
    R* partial = dweight.data() + c * D;
    for (Index i = 0; i < D; ++i) partial[i] += d[i] * u[i] * rstd;
  }
  void finish(const Grad& to, Index D) const {
    if (to) reduce_partials(to, dweight, D);
  }

  const R *dy = nullptr, *weight = nullptr;
  std::vector<R> dweight;
};

}  // namespace tern::cpu
