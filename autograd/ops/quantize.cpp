#include "autograd/ops/quantize.h"

namespace tern {
namespace {

Quantized make_rows(Backend& on, Index N, Index D, DType real, bool quantized) {
  if (!quantized) return {.q = Tensor(on, {N, D}, real)};
  return {.q = Tensor(on, {N, D}, DType::i8), .row_scale = Tensor(on, {N}, accumulator(real))};
}

void check_weight(const char* what, const Var& weight, Index D, DType dtype) {
  check(weight.value && weight.value.shape() == Shape{D} && weight.value.dtype() == dtype, what,
        ": expected (", D, ") ", dtype, ", got ", weight.value);
}

}  // namespace

QuantizedVar quantize_rows(const Var& x) {
  const auto [N, D] = dims<2>(x.value, "[quantize_rows] x (N, D)");
  Backend& on = x.value.backend();
  const Quantized y = make_rows(on, N, D, x.value.dtype(), true);
  on.run(QuantizeRows{.y = y, .x = x.value});
  return {.codes = {y.q, x.tape, x.slot}, .scale = y.row_scale, .real = x.value.dtype()};
}

QuantizedVar quantize_ternary(const Var& w) {
  const auto [O, I] = dims<2>(w.value, "[quantize_ternary] w (O, I)");
  Backend& on = w.value.backend();
  const TernaryWeight y{.t = Tensor(on, {O, I}, DType::i8),
                        .scale = Tensor(on, {1}, w.value.dtype())};
  on.run(QuantizeTernary{.y = y, .w = w.value});
  return {.codes = {y.t, w.tape, w.slot}, .scale = y.scale};
}

Var dequantize(const QuantizedVar& x) {
  const auto [N, D] = dims<2>(x.codes.value, "[dequantize] q (N, D)");
  check(x.scale && x.scale.shape() == Shape{N}, "[dequantize] expected a scale for each of ", N,
        " rows, got ", x.scale);
  Backend& on = x.scale.backend();
  const Tensor y(on, {N, D}, x.value_dtype());
  on.run(Dequantize{.x = y, .y = {.q = x.codes.value, .row_scale = x.scale}});
  return {y, x.codes.tape, x.codes.slot};
}

NormQuantized norm_quantize(const Var& x, const Var& branch, const Var& block_weight,
                            const std::vector<Var>& weights, double eps, bool quantized,
                            std::optional<DType> activations) {
  const auto [N, D] = dims<2>(x.value, "[norm_quantize] x (N, D)");
  const DType residual = x.value.dtype(), real = activations.value_or(residual);
  check(!branch.value || (branch.value.shape() == x.value.shape() && branch.value.dtype() == real),
        "[norm_quantize] branch must match x: x is ", x.value, ", branch is ", branch.value);
  check(!weights.empty() && weights.size() <= 3, "[norm_quantize] expected 1 to 3 weights, got ",
        weights.size());
  const DType exact = accumulator(residual);
  if (block_weight.value) check_weight("[norm_quantize] block_weight", block_weight, D, exact);
  for (const Var& w : weights) check_weight("[norm_quantize] weight", w, D, exact);

  Backend& on = x.value.backend();
  const Tensor sum = branch.value ? Tensor(on, {N, D}, residual) : x.value;
  const Tensor rstd(on, {N, 2}, exact);
  std::vector<NormalizedRow> rows;
  for (const Var& w : weights)
    rows.push_back({.y = make_rows(on, N, D, real, quantized), .weight = w.value});
  on.run(NormQuantize{.rows = rows,
                      .sum = branch.value ? sum : Tensor{},
                      .rstd = rstd,
                      .x = x.value,
                      .branch = branch.value,
                      .block_weight = block_weight.value,
                      .eps = eps});

  std::vector<Tensor> outputs{sum}, weight_values;
  std::vector<Var> inputs{x, branch, block_weight};
  for (std::size_t k = 0; k < weights.size(); ++k) {
    outputs.push_back(rows[k].y.q);
    weight_values.push_back(weights[k].value);
    inputs.push_back(weights[k]);
  }
  const auto vars = record(
      "norm_quantize", outputs, inputs,
      [&on, sum, rstd, block = block_weight.value, weight_values](Tape::Upstream dy,
                                                                  Tape::Grads d) {
        std::vector<NormalizedRowGrad> grads;
        for (std::size_t k = 0; k < weight_values.size(); ++k)
          grads.push_back({.dy = dy[1 + k], .dweight = d[3 + k], .weight = weight_values[k]});
        on.run(NormQuantizeBackward{.dx = d[0],
                                    .dbranch = d[1],
                                    .dblock_weight = d[2],
                                    .rows = grads,
                                    .dsum = dy[0],
                                    .sum = sum,
                                    .rstd = rstd,
                                    .block_weight = block});
      },
      real);
  NormQuantized out{.sum = vars[0]};
  for (std::size_t k = 0; k < weights.size(); ++k)
    out.rows.push_back({.codes = vars[1 + k], .scale = rows[k].y.row_scale, .real = real});
  return out;
}

QuantizedVar gated_norm_quantize(const Var& g, const Var& h, const Var& g_weight, const Var& weight,
                                 double eps, bool quantized) {
  const auto [N, D] = dims<2>(g.value, "[gated_norm_quantize] g (N, D)");
  const DType real = g.value.dtype(), exact = accumulator(real);
  check(h.value.shape() == g.value.shape() && h.value.dtype() == real,
        "[gated_norm_quantize] h must match g: h is ", h.value, ", g is ", g.value);
  check_weight("[gated_norm_quantize] g_weight", g_weight, D, exact);
  check_weight("[gated_norm_quantize] weight", weight, D, exact);
  Backend& on = g.value.backend();
  const Tensor rstd(on, {N, 2}, exact);
  const Quantized y = make_rows(on, N, D, real, quantized);
  on.run(GatedNormQuantize{.row = {.y = y, .weight = weight.value},
                           .rstd = rstd,
                           .g = g.value,
                           .h = h.value,
                           .g_weight = g_weight.value,
                           .eps = eps});
  const Var codes = record(
      "gated_norm_quantize", y.q, {g, h, g_weight, weight},
      [&on, g = g.value, h = h.value, gw = g_weight.value, w = weight.value, rstd](const Tensor& dy,
                                                                                   Tape::Grads d) {
        on.run(GatedNormQuantizeBackward{.dg = d[0],
                                         .dh = d[1],
                                         .dg_weight = d[2],
                                         .row = {.dy = dy, .dweight = d[3], .weight = w},
                                         .g = g,
                                         .h = h,
                                         .g_weight = gw,
                                         .rstd = rstd});
      },
      real);
  return {.codes = codes, .scale = y.row_scale, .real = real};
}

QuantizedVar swiglu_norm_quantize(const Var& ab, const Var& weight, double eps, bool quantized) {
  const auto [N, twice] = dims<2>(ab.value, "[swiglu_norm_quantize] ab (N, 2H)");
  const Index H = twice / 2;
  const DType real = ab.value.dtype(), exact = accumulator(real);
  check(twice % 2 == 0, "[swiglu_norm_quantize] expected an even width, ab is ", ab.value);
  check_weight("[swiglu_norm_quantize] weight", weight, H, exact);
  Backend& on = ab.value.backend();
  const Tensor rstd(on, {N}, exact);
  const Quantized y = make_rows(on, N, H, real, quantized);
  on.run(SwigluNormQuantize{
      .row = {.y = y, .weight = weight.value}, .rstd = rstd, .ab = ab.value, .eps = eps});
  const Var codes = record(
      "swiglu_norm_quantize", y.q, {ab, weight},
      [&on, ab = ab.value, w = weight.value, rstd](const Tensor& dy, Tape::Grads d) {
        on.run(SwigluNormQuantizeBackward{
            .dab = d[0], .row = {.dy = dy, .dweight = d[1], .weight = w}, .ab = ab, .rstd = rstd});
      },
      real);
  return {.codes = codes, .scale = y.row_scale, .real = real};
}

}  // namespace tern
