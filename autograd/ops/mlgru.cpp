#include "autograd/ops.h"

namespace tern {

MlgruOutput mlgru(const Var& f_in, const Var& c_in, const Var& bound, const Var& initial,
                  bool want_last, bool recompute) {
  const auto [B, T, D] = dims<3>(f_in.value, "[mlgru] f_in (B, T, D)");
  const DType real = f_in.value.dtype();
  check(c_in.value.shape() == f_in.value.shape() && c_in.value.dtype() == real,
        "[mlgru] c_in must match f_in: c_in is ", c_in.value, ", f_in is ", f_in.value);
  check(!bound.value || bound.value.shape() == Shape{D}, "[mlgru] bound: expected (", D, "), got ",
        bound.value);
  check(!initial.value || initial.value.shape() == Shape{B, D}, "[mlgru] initial: expected (", B,
        ", ", D, "), got ", initial.value);
  Backend& on = f_in.value.backend();
  const Tensor last = want_last ? Tensor(on, {B, D}, accumulator(real)) : Tensor{};
  const auto make = [&on, f = f_in.value, c = c_in.value, bound = bound.value,
                     initial = initial.value](const Tensor& last_state) {
    const Tensor h(on, f.shape(), f.dtype());
    on.run(Mlgru{
        .h = h, .last = last_state, .f_in = f, .c_in = c, .bound = bound, .initial = initial});
    return h;
  };
  Var h{make(last)};
  if (recompute) h.recompute = once([make] { return make({}); });
  Var out = record("mlgru", h.value, {f_in, c_in, bound, initial},
                   [&on, h = in_backward(h), f = f_in.value, c = c_in.value, bound = bound.value,
                    initial = initial.value](const Tensor& dh, Tape::Grads d) {
                     on.run(MlgruBackward{.df_in = d[0],
                                          .dc_in = d[1],
                                          .dbound = d[2],
                                          .dinitial = d[3],
                                          .dh = dh,
                                          .h = h(),
                                          .f_in = f,
                                          .c_in = c,
                                          .bound = bound,
                                          .initial = initial});
                   });
  out.recompute = h.recompute;
  return {.h = out, .last = last};
}

}  // namespace tern
