#include "autograd/ops.h"

namespace tern {
namespace {

// D, the width of one of q, k, v
Index check_heads(const char* op, const Tensor& x, Index columns, Index heads, bool even) {
  check(columns % 3 == 0 && heads > 0 && columns / 3 % heads == 0 &&
            (!even || columns / 3 / heads % 2 == 0),
        "[", op, "] expected 3 times ", heads, " heads of ", even ? "an even" : "the same",
        " number of channels, got ", x);
  return columns / 3;
}

// Both forms: k and v are empty if q has all three.
Var rotate(const Var& q, const Var& k, const Var& v, const RotaryOptions& options) {
  const bool together = !k.value && !v.value;
  const auto [B, T, columns] =
      dims<3>(q.value, together ? "[rotary] qkv (B, T, 3D)" : "[rotary] q (B, T, D)");
  for (const Var* other : {&k, &v})
    check(together || (other->value && other->value.shape() == q.value.shape() &&
                       other->value.dtype() == q.value.dtype()),
          "[rotary] k and v must match q: got ", other->value, ", q is ", q.value);
  const Index D =
      check_heads("rotary", q.value, together ? columns : 3 * columns, options.heads, true);
  Backend& on = q.value.backend();
  const Tensor qkv(on, {B, T, 3 * D}, q.value.dtype());
  on.run(Rotary{.qkv = qkv,
                .q = q.value,
                .k = k.value,
                .v = v.value,
                .heads = options.heads,
                .first = options.first,
                .theta = options.theta,
                .ternary = options.ternary});
  return record("rotary", qkv, {q, k, v}, [&on, options](const Tensor& dqkv, Tape::Grads d) {
    on.run(RotaryBackward{.dq = d[0],
                          .dk = d[1],
                          .dv = d[2],
                          .dqkv = dqkv,
                          .heads = options.heads,
                          .first = options.first,
                          .theta = options.theta});
  });
}

}  // namespace

Var rotary(const Var& qkv, const RotaryOptions& options) {
  return rotate(qkv, {}, {}, options);
}
Var rotary(const Var& q, const Var& k, const Var& v, const RotaryOptions& options) {
  return rotate(q, k, v, options);
}

Var attention(const Var& qkv, Index heads, const KeyValueCache& cache) {
  const auto [B, T, columns] = dims<3>(qkv.value, "[attention] qkv (B, T, 3D)");
  const Index D = check_heads("attention", qkv.value, columns, heads, false);
  const DType real = qkv.value.dtype();
  if (cache.earlier) {
    const auto [Bc, C, both] = dims<3>(cache.earlier, "[attention] earlier (B, C, 2D)");
    check(Bc == B && both == 2 * D && cache.earlier.dtype() == real && cache.seen <= C,
          "[attention] earlier: expected (", B, ", C, ", 2 * D, ") ", real,
          " with C >= ", cache.seen, ", got ", cache.earlier);
  }
  check(cache.seen >= 0 && (cache.earlier || cache.seen == 0),
        "[attention] expected no earlier positions without a cache, got ", cache.seen);
  check(!qkv.tape || cache.seen == 0, "[attention] a cache has no gradient");
  Backend& on = qkv.value.backend();
  const Tensor out(on, {B, T, D}, real);
  const Tensor log_sum = qkv.tape ? Tensor(on, {B, heads, T}, accumulator(real)) : Tensor{};
  on.run(Attention{.out = out,
                   .log_sum = log_sum,
                   .qkv = qkv.value,
                   .earlier = cache.earlier,
                   .seen = cache.seen,
                   .heads = heads});
  return record("attention", out, {qkv},
                [&on, heads, out, log_sum, qkv = qkv.value](const Tensor& dout, Tape::Grads d) {
                  on.run(AttentionBackward{.dqkv = d[0],
                                           .dout = dout,
                                           .out = out,
                                           .log_sum = log_sum,
                                           .qkv = qkv,
                                           .heads = heads});
                });
}

}  // namespace tern
