// A token mixer without a kernel: each channel's mean of everything so far, every token weighed by
// a learned importance, and a gate on the result. docs/adding_a_mixer.md walks through it.
#pragma once

#include "autograd/ops/primitives.h"

namespace tern {

// h[t] = sigmoid(gate[t]) * (k[0] v[0] + ... + k[t] v[t]) / (k[0] + ... + k[t]),  k = exp(key),
// v = value. All (B, T, D).
inline Var cumulative_mean(const Var& key, const Var& value, const Var& gate) {
  const Var k = exp(key);
  const Var mean = multiply(cumsum(multiply(k, value), 1), reciprocal(cumsum(k, 1)));
  return multiply(sigmoid(gate), mean);
}

// y = x + cumulative_mean(u key^T, u value^T, u gate^T) out^T,  u = rms_norm(x, norm)
struct CumulativeMean {
  Parameter norm{};                         // (D)
  Parameter key{}, value{}, gate{}, out{};  // (D, D) each

  explicit CumulativeMean(Index width) {
    norm.shape = {width};
    for (Parameter* p : {&key, &value, &gate, &out}) {
      p->shape = {width, width};
      p->decays = true;
    }
  }

  // x (B, T, D) to y (B, T, D)
  Var operator()(Tape* tape, const Var& x) {
    const Var u = rms_norm(x, leaf(tape, norm));
    const auto project = [&](Parameter& w) { return matmul(u, leaf(tape, w)); };
    const Var h = cumulative_mean(project(key), project(value), project(gate));
    return add(x, matmul(h, leaf(tape, out)));
  }

  template <class F>
  void members(F&& f) {
    f("norm.weight", norm);
    f("key.weight", key);
    f("value.weight", value);
    f("gate.weight", gate);
    f("out.weight", out);
  }
};

}  // namespace tern
