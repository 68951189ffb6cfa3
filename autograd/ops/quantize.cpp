#include "autograd/ops.h"

namespace tern {
namespace {

// Purpose of the rows: the next product's forward pass, or its gradients (recomputed rows).
enum class For { forward, backward };

// How rows (N, D) are written: int8 codes beside a scale, or, without a scale, real numbers. For
// backward quotients may be asked for: products in bf16 multiply those, which they would otherwise
// make of the codes.
struct RowFormat {
  RowFormat(Backend& backend, Index N, Index D, DType real, bool quantized, RowsAgain again)
      : on(backend),
        shape{N, D},
        forward(quantized ? DType::i8 : real),
        backward(again == RowsAgain::quotients && real == DType::bf16 ? real : forward) {
    if (quantized) scale = Tensor(on, {N}, accumulator(real));
  }
  Quantized rows(For pass) const {
    return {.q = Tensor(on, shape, pass == For::forward ? forward : backward), .row_scale = scale};
  }

  Backend& on;
  Shape shape;
  DType forward, backward;
  Tensor scale{};  // one for all that rows() returns
};

void check_weight(const char* what, const Var& weight, Index D, DType dtype) {
  check(weight.value && weight.value.shape() == Shape{D} && weight.value.dtype() == dtype, what,
        ": expected (", D, ") ", dtype, ", got ", weight.value);
}

}  // namespace

QuantizedVar quantize_rows(const Var& x) {
  const auto [N, D] = dims<2>(x.value, "[quantize_rows] x (N, D)");
  Backend& on = x.value.backend();
  const Quantized y = RowFormat(on, N, D, x.value.dtype(), true, RowsAgain::no).rows(For::forward);
  on.run(QuantizeRows{.y = y, .x = x.value});
  return {.codes = {y.q, x.tape, x.slot}, .scale = y.row_scale, .real = x.value.dtype()};
}

QuantizedVar quantize_ternary(const Var& w) {
  const auto [O, I] = dims<2>(w.value, "[quantize_ternary] w (O, I)");
  Backend& on = w.value.backend();
  const TernaryWeight y{.t = Tensor(on, {O, I}, DType::i8),
                        .scale = Tensor(on, {1}, w.value.dtype())};
  const Tensor sums(on, {sum_pieces(O * I)}, DType::f64);
  on.run(SumMagnitudes{.sums = sums, .w = w.value});
  on.run(QuantizeTernary{.y = y, .w = w.value, .magnitudes = sums});
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

namespace {

// What norm_quantize makes of a sum, in forward and, where rows are not kept, in backward again.
struct NormRows {
  std::vector<RowFormat> formats{};
  std::vector<Tensor> weights{};  // (D) each
  Tensor block_weight{};          // (D) or empty
  Tensor rstd{};                  // (N, 2)
  double eps = 0;

  // q (N, D) of each weight
  std::vector<Tensor> operator()(For pass, const Tensor& x, const Tensor& branch,
                                 const Tensor& sum) const {
    std::vector<NormalizedRow> rows;
    std::vector<Tensor> codes;
    for (std::size_t k = 0; k < weights.size(); ++k) {
      rows.push_back({.y = formats[k].rows(pass), .weight = weights[k]});
      codes.push_back(rows[k].y.q);
    }
    rstd.backend().run(NormQuantize{.rows = rows,
                                    .sum = sum,
                                    .rstd = rstd,
                                    .x = x,
                                    .branch = branch,
                                    .block_weight = block_weight,
                                    .eps = eps});
    return codes;
  }
};

void check_norm_quantize(const Var& x, const Var& branch, const Var& block_weight,
                         const std::vector<Var>& weights, DType real) {
  const DType exact = accumulator(x.value.dtype());
  const Index D = x.value.shape().last();
  check(!branch.value || (branch.value.shape() == x.value.shape() && branch.value.dtype() == real),
        "[norm_quantize] branch must match x: x is ", x.value, ", branch is ", branch.value);
  check(!weights.empty() && weights.size() <= 3, "[norm_quantize] expected 1 to 3 weights, got ",
        weights.size());
  if (block_weight.value) check_weight("[norm_quantize] block_weight", block_weight, D, exact);
  for (const Var& w : weights) check_weight("[norm_quantize] weight", w, D, exact);
}

Tape::Backward norm_quantize_backward(const Tensor& sum, const NormRows& norm) {
  return [sum, rstd = norm.rstd, block = norm.block_weight, weights = norm.weights](
             Tape::Upstream dy, Tape::Grads d) {
    std::vector<NormalizedRowGrad> grads;
    for (std::size_t k = 0; k < weights.size(); ++k)
      grads.push_back({.dy = dy[1 + k], .dweight = d.stored(3 + k), .weight = weights[k]});
    const Fp8Rows dbranch = d.fp8(1);
    sum.backend().run(NormQuantizeBackward{.dx = d[0],
                                           .dbranch = d[1],
                                           .dbranch_fp8 = dbranch,
                                           .dblock_weight = d.stored(2),
                                           .rows = grads,
                                           .dsum = dy[0],
                                           .sum = sum,
                                           .rstd = rstd,
                                           .block_weight = block});
  };
}

}  // namespace

NormQuantized norm_quantize(const Var& x, const Var& branch, const Var& block_weight,
                            const std::vector<Var>& weights, double eps, bool quantized,
                            std::optional<DType> activations, RowsAgain rows_again) {
  const auto [N, D] = dims<2>(x.value, "[norm_quantize] x (N, D)");
  const DType residual = x.value.dtype(), real = activations.value_or(residual);
  check_norm_quantize(x, branch, block_weight, weights, real);
  Backend& on = x.value.backend();
  const Tensor sum = branch.value ? Tensor(on, {N, D}, residual) : x.value;
  NormRows norm{.block_weight = block_weight.value,
                .rstd = Tensor(on, {N, 2}, accumulator(residual)),
                .eps = eps};
  std::vector<Var> inputs{x, branch, block_weight};
  for (const Var& w : weights) {
    norm.formats.emplace_back(on, N, D, real, quantized, rows_again);
    norm.weights.push_back(w.value);
    inputs.push_back(w);
  }
  std::vector<Tensor> outputs =
      norm(For::forward, x.value, branch.value, branch.value ? sum : Tensor{});
  outputs.insert(outputs.begin(), sum);
  const auto vars =
      record("norm_quantize", outputs, inputs, norm_quantize_backward(sum, norm), real);
  NormQuantized out{.sum = vars[0]};
  const auto again = once([norm, sum] { return norm(For::backward, sum, {}, {}); });
  for (std::size_t k = 0; k < weights.size(); ++k) {
    out.rows.push_back({.codes = vars[1 + k], .scale = norm.formats[k].scale, .real = real});
    if (rows_again == RowsAgain::no) continue;
    out.rows[k].codes.recompute = [again, k] { return again()[k]; };
    if (rows_again == RowsAgain::codes && quantized)
      out.rows[k].of = {
          .sum = sum, .rstd = norm.rstd, .block = block_weight.value, .weight = weights[k].value};
  }
  return out;
}

QuantizedVar gated_norm_quantize(const Var& g, const Var& h, const Var& g_weight, const Var& weight,
                                 double eps, bool quantized, RowsAgain again) {
  const auto [N, D] = dims<2>(g.value, "[gated_norm_quantize] g (N, D)");
  const DType real = g.value.dtype(), exact = accumulator(real);
  check(h.value.shape() == g.value.shape() && h.value.dtype() == real,
        "[gated_norm_quantize] h must match g: h is ", h.value, ", g is ", g.value);
  check_weight("[gated_norm_quantize] g_weight", g_weight, D, exact);
  check_weight("[gated_norm_quantize] weight", weight, D, exact);
  Backend& on = g.value.backend();
  const Tensor rstd(on, {N, 2}, exact);
  const RowFormat format(on, N, D, real, quantized, again);
  const auto make = [=, g = g.value, gw = g_weight.value, w = weight.value](For pass,
                                                                            const Tensor& state) {
    const Quantized y = format.rows(pass);
    rstd.backend().run(GatedNormQuantize{.row = {.y = y, .weight = w},
                                         .rstd = rstd,
                                         .g = g,
                                         .h = state,
                                         .g_weight = gw,
                                         .eps = eps});
    return y.q;
  };
  Var codes = record(
      "gated_norm_quantize", make(For::forward, h.value), {g, h, g_weight, weight},
      [&on, g = g.value, h = in_backward(h), gw = g_weight.value, w = weight.value, rstd](
          const Tensor& dy, Tape::Grads d) {
        const Fp8Rows dg = d.fp8(0);
        on.run(GatedNormQuantizeBackward{.dg = d[0],
                                         .dh = d[1],
                                         .dg_fp8 = dg,
                                         .dg_weight = d.stored(2),
                                         .row = {.dy = dy, .dweight = d.stored(3), .weight = w},
                                         .g = g,
                                         .h = h(),
                                         .g_weight = gw,
                                         .rstd = rstd});
      },
      real);
  if (again != RowsAgain::no)
    codes.recompute = once([make, h = in_backward(h)] { return make(For::backward, h()); });
  QuantizedVar out{.codes = codes, .scale = format.scale, .real = real};
  if (again == RowsAgain::codes && quantized && !h.recompute)
    out.of = {.sum = g.value,
              .gate = h.value,
              .rstd = rstd,
              .block = g_weight.value,
              .weight = weight.value};
  return out;
}

QuantizedVar swiglu_norm_quantize(const Var& a, const Var& b, const Var& weight, double eps,
                                  bool quantized, RowsAgain again) {
  const auto [N, columns] = dims<2>(
      a.value, b.value ? "[swiglu_norm_quantize] a (N, H)" : "[swiglu_norm_quantize] ab (N, 2H)");
  check(b.value || columns % 2 == 0, "[swiglu_norm_quantize] expected an even width, ab is ",
        a.value);
  check(!b.value || (b.value.shape() == a.value.shape() && b.value.dtype() == a.value.dtype()),
        "[swiglu_norm_quantize] b must match a: b is ", b.value, ", a is ", a.value);
  const Index H = b.value ? columns : columns / 2;
  const DType real = a.value.dtype(), exact = accumulator(real);
  check_weight("[swiglu_norm_quantize] weight", weight, H, exact);
  Backend& on = a.value.backend();
  const Tensor rstd(on, {N}, exact);
  const RowFormat format(on, N, H, real, quantized, again);
  const auto make = [=, &on, a = a.value, b = b.value, w = weight.value](For pass) {
    const Quantized y = format.rows(pass);
    on.run(
        SwigluNormQuantize{.row = {.y = y, .weight = w}, .rstd = rstd, .a = a, .b = b, .eps = eps});
    return y.q;
  };
  Var codes = record(
      "swiglu_norm_quantize", make(For::forward), {a, b, weight},
      [&on, a = a.value, b = b.value, w = weight.value, rstd](const Tensor& dy, Tape::Grads d) {
        const Fp8Rows da = b ? Fp8Rows{} : d.fp8(0);
        on.run(SwigluNormQuantizeBackward{.da = d[0],
                                          .db = d[1],
                                          .da_fp8 = da,
                                          .row = {.dy = dy, .dweight = d.stored(2), .weight = w},
                                          .a = a,
                                          .b = b,
                                          .rstd = rstd});
      },
      real);
  if (again != RowsAgain::no) codes.recompute = once([make] { return make(For::backward); });
  return {.codes = codes, .scale = format.scale, .real = real};
}

QuantizedVar swiglu_norm_quantize(const Var& ab, const Var& weight, double eps, bool quantized,
                                  RowsAgain again) {
  return swiglu_norm_quantize(ab, {}, weight, eps, quantized, again);
}

}  // namespace tern
