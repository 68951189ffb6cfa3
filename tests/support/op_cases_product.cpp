// Matrix products and the head with its loss.
#include "autograd/ops.h"
#include "core/backend.h"
#include "tests/support/op_cases.h"

namespace tern {
namespace {

std::string size_name(const std::string& op, Index N, Index O, Index I) {
  return op + "_" + std::to_string(N) + "_" + std::to_string(O) + "_" + std::to_string(I);
}

std::vector<OpInput> product_inputs(Index N, Index O, Index I) {
  return {{.name = "x", .shape = {N, I}}, {.name = "w", .shape = {O, I}, .parameter = true}};
}

}  // namespace

OpCase matmul_case(Index N, Index O, Index I) {
  return {.name = size_name("matmul", N, O, I),
          .inputs = product_inputs(N, O, I),
          .apply = [](auto in) { return Vars{matmul(in[0], in[1])}; }};
}

OpCase ternary_product_case(Index N, Index O, Index I) {
  return {.name = size_name("ternary_product", N, O, I),
          .inputs = product_inputs(N, O, I),
          .apply =
              [](auto in) {
                return Vars{ternary_product(quantize_rows(in[0]), quantize_ternary(in[1]))};
              },
          .composed =
              [](auto in, Rounding& r) {
                const Var x = r.rows(in[0]);
                return Vars{matmul(x, r.ternary(in[1]))};
              },
          .rounds = true};
}

// The frozen op has, by x and, with fp8, by w, the slopes that the rounded operands see; else by w
// that of the gradient.
OpCase fp8_case(Index N, Index O, Index I, BackwardProducts backward) {
  OpCase op = ternary_product_case(N, O, I);
  op.name =
      size_name(rounds_dw(backward) ? "ternary_product_fp8" : "ternary_product_fp8_dx", N, O, I);
  op.apply = [=](auto in) {
    return Vars{ternary_product(quantize_rows(in[0]), quantize_ternary(in[1]), backward)};
  };
  const Values dy = projection(op, 0, N * O);
  Values ratio = rounded_to_fp8(dy, O);
  for (std::size_t i = 0; i < dy.size(); ++i) ratio[i] /= dy[i];
  op.composed = [=](auto in, Rounding& r) {
    const auto constant = [&on = in[0].value.backend()](const Shape& shape, const Values& values) {
      const Tensor t(on, shape, DType::f64);
      upload_real(t, values);
      return Var{t};
    };
    const Var x = r.rows(in[0]), w = r.ternary(in[1]), share = constant({N, O}, ratio);
    const Var x0 = r.constant(x), w0 = r.constant(w), y = matmul(x0, w0);
    const Var by_x = multiply(subtract(matmul(x, w0), y), share);
    if (!rounds_dw(backward)) return Vars{add(add(y, by_x), subtract(matmul(x0, w), y))};
    const Var x1 = constant({N, I}, inputs_in_fp8(download_real(x0.value), dy, I, O));
    const Var by_w = multiply(subtract(matmul(x1, w), matmul(x1, w0)), share);
    return Vars{add(add(y, by_x), by_w)};
  };
  return op;
}

OpCase fp8_rows_case(Index N, Index D, Index H, bool on_views, BackwardProducts backward) {
  const auto times = [=](const QuantizedVar& x, const Var& w) {
    const Var y = ternary_product(x, quantize_ternary(w), backward);
    return on_views ? reshape(y, y.value.shape()) : y;
  };
  return {.name = size_name("fp8_rows", N, D, H) + (on_views ? "_on_views" : ""),
          .inputs = {{.name = "x", .shape = {N, D}},
                     {.name = "h", .shape = {N, D}, .low = -3, .high = 3},
                     {.name = "square", .shape = {D, D}, .parameter = true},
                     {.name = "wide", .shape = {2 * H, D}, .parameter = true},
                     {.name = "norm", .shape = {D}, .low = 0.5, .high = 1.5, .parameter = true},
                     {.name = "other", .shape = {D}, .low = 0.5, .high = 1.5, .parameter = true},
                     {.name = "narrow", .shape = {H}, .low = 0.5, .parameter = true}},
          .apply = [=](auto in) {
            const Var &x = in[0], &square = in[2], &norm = in[4], &other = in[5];
            const DType real = x.value.dtype();
            const Var g = times(quantize_rows(x), square);
            const Var mixed = times(gated_norm_quantize(g, in[1], norm, other, 1e-6), square);
            const NormQuantized one = norm_quantize(x, mixed, norm, {other}, 1e-6, true, real);
            const Var again = times(one.rows[0], square);
            const NormQuantized two =
                norm_quantize(one.sum, again, {}, {norm, other}, 1e-6, true, real);
            const Var ab = times(two.rows[0], in[3]);
            return Vars{two.sum, dequantize(two.rows[1]),
                        dequantize(swiglu_norm_quantize(ab, in[6], 1e-6))};
          }};
}

OpCase bit_linear_case(Index N, Index O, Index I) {
  OpCase op = ternary_product_case(N, O, I);
  op.name = size_name("bit_linear", N, O, I);
  op.inputs.push_back(
      {.name = "norm_weight", .shape = {I}, .low = 0.5, .high = 1.5, .parameter = true});
  op.apply = [](auto in) { return Vars{bit_linear(in[0], in[2], quantize_ternary(in[1]))}; };
  op.composed = [](auto in, Rounding& r) {
    const Var x = r.rows(rms_norm(in[0], in[2]));
    return Vars{matmul(x, r.ternary(in[1]))};
  };
  return op;
}

OpCase remade_norm_case(Index N, Index O, Index I) {
  OpCase op = bit_linear_case(N, O, I);
  op.name = size_name("remade_norm", N, O, I);
  op.apply = [](auto in) {
    const NormQuantized x =
        norm_quantize(in[0], {}, {}, {in[2]}, 1e-6, true, {}, RowsAgain::quotients);
    return Vars{ternary_product(x.rows[0], quantize_ternary(in[1]))};
  };
  return op;
}

OpCase remade_gate_case(Index N, Index O, Index I) {
  OpCase op = bit_linear_case(N, O, I);
  op.name = size_name("remade_gate", N, O, I);
  op.adds_up = true;
  op.inputs.push_back({.name = "h", .shape = {N, I}, .low = -3, .high = 3});
  op.apply = [](auto in) {
    const QuantizedVar x =
        gated_norm_quantize(in[0], in[3], in[2], in[2], 1e-6, true, RowsAgain::quotients);
    return Vars{ternary_product(x, quantize_ternary(in[1]))};
  };
  op.composed = [](auto in, Rounding& r) {
    const Var p = multiply(rms_norm(in[0], in[2]), silu(in[3]));
    const Var x = r.rows(rms_norm(p, in[2]));
    return Vars{matmul(x, r.ternary(in[1]))};
  };
  return op;
}

OpCase cross_entropy_case(Index N, Index V, Index I, const CrossEntropyForm& form) {
  std::vector<std::int32_t> targets;
  double valid = 0;
  for (Index n = 0; n < N; ++n) {
    const bool ignored = form.ignore_every > 0 && n % form.ignore_every == 0;
    targets.push_back(ignored ? kIgnoreIndex : std::int32_t((7 * n + 3) % V));
    valid += !ignored;
  }
  const auto loss = [=](const QuantizedVar& x, const QuantizedVar& w, DType dtype, Index rows) {
    Backend& on = x.codes.value.backend();
    const Tensor weight(on, {1}, accumulator(dtype));
    upload_real(weight, {valid > 0 ? 1 / valid : 0});
    return Vars{cross_entropy(x, w, upload_ids(on, {N}, targets), weight, rows).loss};
  };
  const Index rows = form.rows_per_chunk;
  OpCase op{.name = size_name("cross_entropy", N, V, I) + "_chunk" + std::to_string(rows) +
                    (form.ignore_every ? "_ignore" + std::to_string(form.ignore_every) : "") +
                    (form.quantized ? "" : "_real"),
            .inputs = product_inputs(N, V, I),
            .is_loss = true};
  if (!form.quantized) {
    op.apply = [=](auto in) {
      return loss({.codes = in[0]}, {.codes = in[1]}, in[0].value.dtype(), rows);
    };
    return op;
  }
  op.rounds = true;
  op.apply = [=](auto in) {
    return loss(quantize_rows(in[0]), quantize_ternary(in[1]), in[0].value.dtype(), rows);
  };
  op.composed = [=](auto in, Rounding& r) {  // the real form, itself a case, in one chunk
    const Var x = r.rows(in[0]);
    return loss({.codes = x}, {.codes = r.ternary(in[1])}, DType::f64, N);
  };
  return op;
}

std::vector<OpCase> product_cases() {
  return {
      matmul_case(3, 4, 5),
      matmul_case(1, 1, 1),
      matmul_case(1, 9, 33),
      matmul_case(9, 1, 33),
      matmul_case(35, 17, 1),
      matmul_case(259, 270, 19),
      matmul_case(5, 520, 7),
      {.name = "matmul_of_a_batch",
       .inputs = {{.name = "x", .shape = {2, 3, 4}},
                  {.name = "w", .shape = {5, 4}, .parameter = true}},
       .apply = [](auto in) { return Vars{matmul(in[0], in[1])}; }},
      {.name = "matmul_of_a_vector",
       .inputs = {{.name = "x", .shape = {4}}, {.name = "w", .shape = {5, 4}, .parameter = true}},
       .apply = [](auto in) { return Vars{matmul(in[0], in[1])}; }},
      ternary_product_case(3, 4, 8),
      ternary_product_case(1, 1, 1),
      ternary_product_case(1, 67, 37),
      ternary_product_case(259, 270, 19),
      ternary_product_case(5, 520, 7),
      ternary_product_case(3, 5, 16),  // multiples of 16 inputs: the code kernels
      ternary_product_case(67, 130, 48),
      fp8_case(3, 4, 8, BackwardProducts::fp8_dx),
      fp8_case(1, 1, 1, BackwardProducts::fp8_dx),
      fp8_case(5, 520, 7, BackwardProducts::fp8_dx),
      fp8_case(67, 33, 37, BackwardProducts::fp8_dx),
      fp8_case(259, 48, 19, BackwardProducts::fp8_dx),
      fp8_case(67, 128, 48,
               BackwardProducts::fp8_dx),  // multiples of 16 both: the library's on a GPU
      fp8_case(300, 272, 144, BackwardProducts::fp8_dx),
      fp8_case(3, 4, 8, BackwardProducts::fp8),
      fp8_case(1, 1, 1, BackwardProducts::fp8),
      fp8_case(5, 520, 7, BackwardProducts::fp8),
      fp8_case(67, 33, 37, BackwardProducts::fp8),
      fp8_case(70, 144, 80, BackwardProducts::fp8),
      fp8_case(300, 272, 144, BackwardProducts::fp8),
      bit_linear_case(3, 4, 8),
      bit_linear_case(1, 5, 67),
      bit_linear_case(67, 33, 37),
      bit_linear_case(7, 65, 64),
      remade_norm_case(5, 7, 19),
      remade_norm_case(5, 16, 24),  // multiples of 8 both: the library's on a GPU
      remade_gate_case(5, 7, 19),
      remade_gate_case(5, 16, 24),
  };
}

std::vector<OpCase> loss_cases() {
  return {
      cross_entropy_case(7, 5, 4, {.quantized = false}),
      cross_entropy_case(7, 5, 4, {.rows_per_chunk = 3, .quantized = false}),
      cross_entropy_case(7, 5, 4, {.rows_per_chunk = 3, .ignore_every = 3, .quantized = false}),
      cross_entropy_case(7, 5, 4, {.rows_per_chunk = 2, .ignore_every = 1, .quantized = false}),
      cross_entropy_case(4, 1, 3, {.quantized = false}),
      cross_entropy_case(1, 67, 9, {.quantized = false}),
      cross_entropy_case(7, 5, 8),
      cross_entropy_case(7, 5, 8, {.rows_per_chunk = 3, .ignore_every = 3}),
      cross_entropy_case(67, 131, 37, {.rows_per_chunk = 20, .ignore_every = 5}),
      cross_entropy_case(67, 131, 32, {.rows_per_chunk = 20, .ignore_every = 5}),
      cross_entropy_case(4, 1, 3, {.rows_per_chunk = 1}),
      cross_entropy_case(5, 3, 6, {.rows_per_chunk = 2, .ignore_every = 1}),
  };
}

}  // namespace tern
