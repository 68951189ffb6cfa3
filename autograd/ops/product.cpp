#include "autograd/ops.h"
#include "core/workspace.h"

namespace tern {

Var ternary_product(const QuantizedVar& x, const QuantizedVar& w, BackwardProducts backward,
                    std::function<void(const Tensor&)> see_underflow) {
  if (!x.scale && !w.scale) return matmul(x.codes, w.codes);
  const auto [N, I] = dims<2>(x.codes.value, "[ternary_product] x (N, I)");
  const auto [O, Iw] = dims<2>(w.codes.value, "[ternary_product] w (O, I)");
  check(I == Iw, "[ternary_product] inner dimensions differ: x is ", x.codes.value, ", w is ",
        w.codes.value);
  check(I <= kMaxExactInputs, "[ternary_product] expected at most ", kMaxExactInputs,
        " inputs, x is ", x.codes.value);
  check(x.scale && x.scale.shape() == Shape{N} && w.scale && w.scale.shape() == Shape{1},
        "[ternary_product] expected scales (", N, ") and (1), got ", x.scale, " and ", w.scale);
  check(
      w.codes.value.dtype() != DType::t2 || (x.codes.slot < 0 && w.codes.slot < 0),
      "[ternary_product] expected no tape, since weights at two bits have no backward pass, w is ",
      w.codes.value);
  Backend& on = x.scale.backend();
  const TernaryWeight wt{.t = w.codes.value, .scale = w.scale};
  const Tensor y(on, {N, O}, x.value_dtype());
  on.run(TernaryProduct{.y = y, .x = {.q = x.codes.value, .row_scale = x.scale}, .w = wt});
  const Var product =
      record("ternary_product", std::vector{y}, {x.codes, w.codes},
             [&on, q = in_backward(x.codes), of = x.of, scale = x.scale, wt, backward,
              see = rounds_dw(backward) && w.codes.slot >= 0 ? std::move(see_underflow) : nullptr](
                 Tape::Upstream dy, Tape::Grads d) {
               const Tensor underflow = see ? Tensor(on, {1}, DType::f64) : Tensor{};
               TernaryProductBackward a{.dx = d[0],
                                        .dw = d.stored(1),
                                        .dy = dy[0],
                                        .x = {.row_scale = scale},
                                        .x_of = of,
                                        .w = wt,
                                        .backward = backward,
                                        .dy_fp8 = dy.fp8(0),
                                        .underflow = underflow};
               if (!makes_codes(a, on.traits())) {
                 a.x.q = q();
                 a.x_of = {};
               }
               on.run(a);
               if (see) see(underflow);
             })[0];
  const bool has_dx = x.codes.slot >= 0, all = has_dx && rounds_dw(backward);
  if (product.tape && (has_dx ? rounds_dx(backward) : rounds_dw(backward)))
    product.tape->want_fp8(product, all ? Tape::Fp8::suffices : Tape::Fp8::beside);
  return product;
}

Var bit_linear(const Var& x, const Var& norm_weight, const QuantizedVar& w, double eps) {
  return ternary_product(norm_quantize(x, {}, {}, {norm_weight}, eps).rows[0], w);
}

}  // namespace tern
