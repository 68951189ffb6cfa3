// What the backward kernels that can make 8-bit floats of a gradient write, with and without them.
#pragma once

#include "tests/support/row_forms.h"

namespace tern {

struct Fp8Gradient {
  std::string kernel{};
  std::vector<double> alone{}, gradient{};  // as stored without 8-bit floats, and beside them
  std::vector<std::uint8_t> codes{};
  std::vector<double> factors{};
  bool same_codes_alone = false;  // where the gradient leaves in them only
};

// gradient(to, fp8) runs a kernel that writes (N, columns), fp8 empty or not.
inline Fp8Gradient fp8_gradient(
    Backend& on, const std::string& kernel, const Shape& shape, DType real,
    const std::function<void(const Tensor& to, const Fp8Rows& fp8)>& run) {
  Fp8Gradient out{.kernel = kernel};
  const Tensor to(on, shape, real);
  const Fp8Rows fp8{.codes = Tensor(on, shape, DType::e4m3),
                    .factors = Tensor(on, {shape[0]}, accumulator(real))};
  const auto codes = [&] {
    std::vector<std::uint8_t> bits(std::size_t(shape.elements()));
    on.download(bits.data(), fp8.codes);
    return bits;
  };
  on.fill(to, -1);
  run(to, {});
  out.alone = download_real(to);
  on.fill(to, -1);
  run(to, fp8);
  out.gradient = download_real(to);
  out.codes = codes();
  out.factors = download_real(fp8.factors);
  on.fill(fp8.factors, -1);
  const std::vector<std::uint8_t> wrong(out.codes.size(), 0x7f);
  on.upload(fp8.codes, wrong.data());
  run({}, fp8);
  const std::vector<double> factors = download_real(fp8.factors);
  out.same_codes_alone = codes() == out.codes;
  for (std::size_t n = 0; n < factors.size(); ++n)
    out.same_codes_alone &=
        factors[n] == out.factors[n] || (std::isnan(factors[n]) && std::isnan(out.factors[n]));
  return out;
}

// Of all such kernels, for N rows of D columns, of which row 1 is zero and row 2 not finite.
inline std::vector<Fp8Gradient> fp8_gradients(Backend& on, DType stream, DType real, Index N,
                                              Index D) {
  RowFormInputs in(on, stream, real, N, D);
  const Tensor first(on, {N, 2}, in.exact), second(on, {N}, in.exact);
  const auto row = [&](int k) {
    return NormalizedRow{
        .y = {.q = Tensor(on, {N, D}, DType::i8), .row_scale = Tensor(on, {N}, in.exact)},
        .weight = in.weights[k]};
  };
  const auto arriving = [&](int k, const Tensor& dy) {
    return NormalizedRowGrad{.dy = dy, .weight = in.weights[k]};
  };
  std::vector<Fp8Gradient> all;
  for (const int consumers : {1, 3}) {
    const NormalizedRow rows[] = {row(0), row(1), row(2)};
    on.run(NormQuantize{.rows = std::span(rows, consumers),
                        .rstd = first,
                        .x = in.sum,
                        .block_weight = in.weights[3]});
    const NormalizedRowGrad grads[] = {arriving(0, in.left), arriving(1, {}),
                                       arriving(2, in.right)};
    all.push_back(
        fp8_gradient(on, "norm_quantize", {N, D}, real, [&](const Tensor& to, const Fp8Rows& fp8) {
          on.run(NormQuantizeBackward{.dbranch = {to},
                                      .dbranch_fp8 = fp8,
                                      .rows = std::span(grads, consumers),
                                      .dsum = consumers == 1 ? in.sum : Tensor{},
                                      .sum = in.sum,
                                      .rstd = first,
                                      .block_weight = in.weights[3]});
        }));
  }
  on.run(GatedNormQuantize{
      .row = row(0), .rstd = first, .g = in.left, .h = in.right, .g_weight = in.weights[1]});
  all.push_back(fp8_gradient(on, "gated_norm_quantize", {N, D}, real,
                             [&](const Tensor& to, const Fp8Rows& fp8) {
                               on.run(GatedNormQuantizeBackward{.dg = {to},
                                                                .dg_fp8 = fp8,
                                                                .row = arriving(0, in.right),
                                                                .g = in.left,
                                                                .h = in.right,
                                                                .g_weight = in.weights[1],
                                                                .rstd = first});
                             }));
  on.run(SwigluNormQuantize{.row = row(0), .rstd = second, .a = in.wide});
  all.push_back(fp8_gradient(
      on, "swiglu_norm_quantize", {N, 2 * D}, real, [&](const Tensor& to, const Fp8Rows& fp8) {
        on.run(SwigluNormQuantizeBackward{
            .da = {to}, .da_fp8 = fp8, .row = arriving(0, in.left), .a = in.wide, .rstd = second});
      }));
  return all;
}

}  // namespace tern
