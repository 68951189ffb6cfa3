// The last stage of every fused quantiser: a row is normalised, weighted, and rounded to int8, or
// kept as it is when the model is not quantised. Or its codes leave as quotients.
#pragma once

#include "core/cpu/rows.h"
#include "core/kernels.h"

namespace tern::cpu {

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
  void write(Index n, const R* u, R rstd, R* normalized, Index D) const {
    R* to = real ? real + n * D : normalized;
    normalize(to, u, rstd, weight, D);
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
