// A ternary dense layer with its own RMSNorm weight. The float matrix is what is trained (latent);
// the ternary copy that products use is made once per optimizer step, with all others.
#pragma once

#include "autograd/ops/product.h"

namespace tern {

struct BitLinear {
  Parameter weight{};       // (O, I) latent
  Parameter norm_weight{};  // (I)
  TernaryWeight ternary{};  // working copy in the pack, empty when the model is not quantised

  BitLinear() = default;
  BitLinear(Index outputs, Index inputs) {
    weight.shape = {outputs, inputs};
    weight.decays = true;
    norm_weight.shape = {inputs};
  }

  // What products take: the working copy, on the tape in the latent matrix's place.
  QuantizedVar weight_var(Tape* tape) {
    const Var latent = leaf(tape, weight);
    if (!ternary.t) return {.codes = latent};
    return {.codes = {ternary.t, latent.tape, latent.slot}, .scale = ternary.scale};
  }

  template <class F>
  void members(F&& f) {
    f("weight", weight);
    f("norm.weight", norm_weight);
  }
};

}  // namespace tern
