#include <algorithm>

#include "autograd/ops.h"

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

// Where chunks of rows write a gradient: where it is kept, or, if that is bf16 and would be written
// in f32 or be rounded for each chunk, in f32 first.
class ChunkGrad {
 public:
  ChunkGrad(const Grad& to, bool widen) : to_(to), into_(to) {
    if (to && to.to.dtype() == DType::bf16 && widen)
      into_ = {Tensor(to.to.backend(), to.to.shape(), DType::f32)};
  }
  Grad rows(Index first, Index count) const {
    return into_ ? Grad{into_.to.slice(first, count), into_.add} : Grad{};
  }
  Grad next_sum() { return {into_.to, std::exchange(into_.add, true)}; }
  void finish() const {
    if (into_.to.dtype() != to_.to.dtype())
      to_.to.backend().run(Accumulate{.to = to_, .x = into_.to});
  }

 private:
  Grad to_, into_;
};

// x, w and targets of the head: the number of rows
Index check_head(const char* op, const QuantizedVar& x, const QuantizedVar& w,
                 const Tensor& targets, Index rows_per_chunk) {
  const std::string name = '[' + std::string(op) + "] ";
  const auto [N, I] = dims<2>(x.codes.value, name + "x (N, I)");
  const auto [V, Iw] = dims<2>(w.codes.value, name + "w (V, I)");
  check(I == Iw, name, "inner dimensions differ: x is ", x.codes.value, ", w is ", w.codes.value);
  check(targets && targets.shape() == Shape{N} && targets.dtype() == DType::i32, name,
        "targets: expected (", N, ") i32, got ", targets);
  check(V > 0 && rows_per_chunk > 0, name, "expected V and rows_per_chunk > 0");
  return N;
}

}  // namespace

CrossEntropyOutput cross_entropy(const QuantizedVar& x, const QuantizedVar& w,
                                 const Tensor& targets, const Tensor& weight,
                                 Index rows_per_chunk) {
  const Index N = check_head("cross_entropy", x, w, targets, rows_per_chunk);
  check(weight && weight.shape() == Shape{1}, "[cross_entropy] weight: expected (1), got ", weight);
  Backend& on = weight.backend();
  Tape* tape = tape_of("cross_entropy", std::vector{x.codes, w.codes});
  check(!tape || w.codes.value.dtype() != DType::t2,
        "[cross_entropy] expected no tape, since weights at two bits have no backward pass, w is ",
        w.codes.value);
  const ChunkGrad dx(tape ? tape->claim(x.codes) : Grad{}, x.value_dtype() == DType::f32);
  ChunkGrad dw(tape ? tape->claim(w.codes) : Grad{}, N > rows_per_chunk);
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
    product_backward(on, dx.rows(n, rows), dw.next_sum(), logits, part, weights);
  }
  dx.finish(), dw.finish();
  on.run(WeightedLoss{.loss = out.loss.value, .losses = out.losses, .weight = weight});
  if (tape) out.loss = tape->record_loss(out.loss.value, std::vector{x.codes, w.codes});
  return out;
}

TokenScores token_scores(const QuantizedVar& x, const QuantizedVar& w, const Tensor& targets,
                         Index rows_per_chunk) {
  const Index N = check_head("token_scores", x, w, targets, rows_per_chunk);
  Backend& on = targets.backend();
  const DType real = x.value_dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Tensor weight(on, {1}, real);  // of a gradient that is not computed
  on.fill(weight, 1);
  const QuantizedVar weights{.codes = {w.codes.value}, .scale = w.scale};
  const TokenScores out{.losses = Tensor(on, {N}, real), .likeliest = Tensor(on, {N}, DType::i32)};
  for (Index n = 0; n < N; n += rows_per_chunk) {
    const Index rows = std::min(rows_per_chunk, N - n);
    const Tensor logits = ternary_product(constant(x, n, rows), weights).value;  // (rows, V)
    on.run(Argmax{.ids = out.likeliest.slice(n, rows), .x = logits});
    on.run(CrossEntropy{.losses = out.losses.slice(n, rows),
                        .logits = logits,
                        .targets = targets.slice(n, rows),
                        .weight = weight});
  }
  return out;
}

}  // namespace tern
