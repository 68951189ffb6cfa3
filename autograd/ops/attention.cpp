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

RotaryBackward opposite(const RotaryOptions& options) {
  return {.heads = options.heads, .first = options.first, .theta = options.theta};
}

Rotary rotation(const RotaryOptions& options) {
  return {.heads = options.heads,
          .first = options.first,
          .theta = options.theta,
          .ternary = options.ternary};
}

}  // namespace

Var rotary(Var qkv, const RotaryOptions& options) {
  const Index columns = dims<3>(qkv.value, "[rotary] qkv (B, T, 3D)")[2];
  check_heads("rotary", qkv.value, columns, options.heads, true);
  Backend& on = qkv.value.backend();
  const bool in_place = qkv.value.is_sole();
  Rotary kernel = rotation(options);
  kernel.q = qkv.value;
  kernel.qkv = in_place ? qkv.value : Tensor(on, qkv.value.shape(), qkv.value.dtype());
  on.run(kernel);
  const auto back = [&on, options](const Tensor& dqkv, const Grad& dq) {
    RotaryBackward turned = opposite(options);
    turned.dqkv = dqkv;
    turned.dq = dq;
    on.run(turned);
  };
  if (!in_place)
    return record("rotary", kernel.qkv, {qkv},
                  [back](const Tensor& dqkv, Tape::Grads d) { back(dqkv, d[0]); });
  if (qkv.slot < 0) return {qkv.value};
  return qkv.tape->record_in_place("rotary", qkv,
                                   [back](const Tensor& dqkv) { back(dqkv, {dqkv}); });
}

Var rotary(const Var& q, const Var& k, const Var& v, const RotaryOptions& options) {
  const auto [B, T, D] = dims<3>(q.value, "[rotary] q (B, T, D)");
  for (const Var* other : {&k, &v})
    check(other->value && other->value.shape() == q.value.shape() &&
              other->value.dtype() == q.value.dtype(),
          "[rotary] k and v must match q: got ", other->value, ", q is ", q.value);
  check_heads("rotary", q.value, 3 * D, options.heads, true);
  Backend& on = q.value.backend();
  Rotary kernel = rotation(options);
  kernel.qkv = Tensor(on, {B, T, 3 * D}, q.value.dtype());
  kernel.q = q.value, kernel.k = k.value, kernel.v = v.value;
  on.run(kernel);
  return record("rotary", kernel.qkv, {q, k, v}, [&on, options](const Tensor& dy, Tape::Grads d) {
    RotaryBackward back = opposite(options);
    back.dqkv = dy;
    back.dq = d[0], back.dk = d[1], back.dv = d[2];
    on.run(back);
  });
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
