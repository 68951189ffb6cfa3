// The rows that fused quantisers write, in both forms: int8 codes, and codes over their scale.
#pragma once

#include <functional>
#include <limits>
#include <string>

#include "core/backend.h"
#include "core/rng.h"

namespace tern {

// Of one consumer: (N, D) and a scale for each row.
struct RowForms {
  std::string kernel{};
  std::vector<std::int8_t> codes{};
  std::vector<double> scale{}, quotients{}, scale_beside_quotients{};
};

// Inputs in (-2, 2) and weights around 1; row 1 is zero, row 2 has an element that is no number.
class RowFormInputs {
 public:
  RowFormInputs(Backend& on, DType stream, DType activations, Index number, Index width)
      : N(number), D(width), real(activations), exact(accumulator(activations)), on_(on) {
    sum = rows(stream, D);
    left = rows(real, D);
    right = rows(real, D);
    wide = rows(real, 2 * D);
    for (Tensor& weight : weights) weight = uploaded(exact, {D}, 0.5, 1.5);
  }

  // All consumers of `write` in one form and then in the other.
  std::vector<RowForms> both(const std::string& kernel, std::size_t consumers,
                             const std::function<void(std::span<const NormalizedRow>)>& write) {
    std::vector<RowForms> forms(consumers, {.kernel = kernel});
    for (const DType form : {DType::i8, real}) {
      std::vector<NormalizedRow> all;
      for (std::size_t k = 0; k < consumers; ++k)
        all.push_back({.y = {.q = Tensor(on_, {N, D}, form), .row_scale = Tensor(on_, {N}, exact)},
                       .weight = weights[k]});
      write(all);
      for (std::size_t k = 0; k < consumers; ++k) keep(forms[k], all[k].y);
    }
    return forms;
  }

  Tensor statistics() const { return Tensor(on_, {N, 2}, exact); }

  Index N, D;
  DType real, exact;
  Tensor sum{}, left{}, right{}, wide{};
  Tensor weights[4];

 private:
  Tensor uploaded(DType dtype, const Shape& shape, double low, double high) {
    const Rng rng(17, drawn_++);
    std::vector<double> values;
    for (Index i = 0; i < shape.elements(); ++i)
      values.push_back(low + (high - low) * rng.uniform(std::uint64_t(i)));
    if (shape.rank() == 2 && N > 2) {
      const Index columns = shape.last();
      std::fill_n(values.begin() + columns, columns, 0.0);
      values[2 * columns + columns / 2] = std::numeric_limits<double>::quiet_NaN();
    }
    const Tensor t(on_, shape, dtype);
    upload_real(t, values);
    return t;
  }
  Tensor rows(DType dtype, Index columns) { return uploaded(dtype, {N, columns}, -2, 2); }

  void keep(RowForms& to, const Quantized& y) {
    if (y.q.dtype() == DType::i8) {
      to.codes.resize(std::size_t(N * D));
      on_.download(to.codes.data(), y.q);
      to.scale = download_real(y.row_scale);
    } else {
      to.quotients = download_real(y.q);
      to.scale_beside_quotients = download_real(y.row_scale);
    }
  }

  Backend& on_;
  std::uint64_t drawn_ = 0;
};

// stream: the dtype of the residual stream that the first kernel reads
inline std::vector<RowForms> row_forms(Backend& on, DType stream, DType activations, Index N,
                                       Index D) {
  RowFormInputs in(on, stream, activations, N, D);
  std::vector<RowForms> all;
  const auto add = [&](std::vector<RowForms> forms) {
    all.insert(all.end(), forms.begin(), forms.end());
  };
  for (const std::size_t consumers : {1, 3})
    add(in.both("NormQuantize of " + std::to_string(consumers), consumers, [&](auto rows) {
      on.run(NormQuantize{
          .rows = rows, .rstd = in.statistics(), .x = in.sum, .block_weight = in.weights[3]});
    }));
  add(in.both("GatedNormQuantize", 1, [&](auto rows) {
    on.run(GatedNormQuantize{.row = rows[0],
                             .rstd = in.statistics(),
                             .g = in.left,
                             .h = in.right,
                             .g_weight = in.weights[3]});
  }));
  add(in.both("SwigluNormQuantize", 1, [&](auto rows) {
    on.run(SwigluNormQuantize{.row = rows[0], .rstd = in.statistics(), .a = in.wide});
  }));
  return all;
}

}  // namespace tern
