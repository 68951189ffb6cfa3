#include "autograd/ops/cross_entropy.h"

#include <algorithm>

namespace tern {
namespace {

QuantizedVar constant(const QuantizedVar& x, Index first, Index count) {
  return {.codes = {x.codes.value.slice(first, count)},
          .scale = x.scale ? x.scale.slice(first, count) : Tensor{},
          .real = x.real};
}

void product_backward(Backend& on, const Grad& dx, const Grad& dw, const Tensor& dy,
                      const QuantizedVar& x, const QuantizedVar& w) {
  if (x.scale)
    on.run(TernaryProductBackward{.dx = dx,
                                  .dw = dw,
                                  .dy = dy,
                                  .x = {.q = x.codes.value, .row_scale = x.scale},
                                  .w = {.t = w.codes.value, .scale = w.scale}});
  else
    on.run(MatmulBackward{.dx = dx, .dw = dw, .dy = dy, .x = x.codes.value, .w = w.codes.value});
}

}  // namespace

CrossEntropyOutput cross_entropy(const QuantizedVar& x, const QuantizedVar& w,
                                 const Tensor& targets, const Tensor& weight,
                                 Index rows_per_chunk) {
  const auto [N, I] = dims<2>(x.codes.value, "[cross_entropy] x (N, I)");
  const auto [V, Iw] = dims<2>(w.codes.value, "[cross_entropy] w (V, I)");
  check(I == Iw, "[cross_entropy] inner dimensions differ: x is ", x.codes.value, ", w is ",
        w.codes.value);
  check(targets && targets.shape() == Shape{N} && targets.dtype() == DType::i32,
        "[cross_entropy] targets: expected (", N, ") i32, got ", targets);
  check(weight && weight.shape() == Shape{1}, "[cross_entropy] weight: expected (1), got ", weight);
  check(V > 0 && rows_per_chunk > 0, "[cross_entropy] expected V and rows_per_chunk > 0");

  Backend& on = weight.backend();
  Tape* tape = tape_of("cross_entropy", std::vector{x.codes, w.codes});
  const Grad dx = tape ? tape->claim(x.codes) : Grad{};
  Grad dw = tape ? tape->claim(w.codes) : Grad{};
  const QuantizedVar weights{.codes = {w.codes.value}, .scale = w.scale};
  CrossEntropyOutput out{.loss = {Tensor(on, {1}, DType::f64)},
                         .losses = Tensor(on, {N}, weight.dtype())};
  for (Index n = 0; n < N; n += rows_per_chunk) {
    const Index rows = std::min(rows_per_chunk, N - n);
    const QuantizedVar part = constant(x, n, rows);
    const Tensor logits = ternary_product(part, weights).value;  // (rows, V)
    on.run(CrossEntropy{.losses = out.losses.slice(n, rows),
                        .logits = logits,
                        .targets = targets.slice(n, rows),
                        .weight = weight,
                        .gradient = tape != nullptr});
    if (!tape) continue;
    const Grad part_dx = dx ? Grad{dx.to.slice(n, rows), dx.add} : Grad{};
    product_backward(on, part_dx, dw, logits, part, weights);
    dw.add = true;
  }
  on.run(WeightedLoss{.loss = out.loss.value, .losses = out.losses, .weight = weight});
  if (tape)
    out.loss = tape->record("cross_entropy", {out.loss.value}, {}, DType::f64,
                            [](Tape::Upstream, Tape::Grads) {})[0];
  return out;
}

}  // namespace tern
