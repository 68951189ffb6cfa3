// A dense layer, ternary or in floats, usually with its own RMSNorm weight.
// The float matrix is what is trained (latent); the copy that products use (ternary, or of floats
// in bf16) is made once per optimizer step, with all others.       (arXiv 2406.02528, BitLinear)
#pragma once

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "layers/model_config.h"

namespace tern {

// Called with each intermediate as soon as it exists, again where a block runs again. It may
// overwrite the tensor's bytes: that is how a run replays another's rounding decisions.
using Observer = std::function<void(const std::string& name, const Tensor& value)>;

// One forward pass: the tape that records gradients, and the observer of intermediates.
struct Pass {
  Tape* tape = nullptr;  // null: inference
  Observer observe{};    // may be empty
  std::string scope{};   // prefix of the names that observe sees: "model.layers.3."

  void see(const char* name, const Tensor& value) const {
    if (observe && value) observe(scope + name, value);
  }
  // codes as NAME.q and their scale as NAME.scale; real values as NAME
  void see(const std::string& name, const QuantizedVar& value) const {
    if (!observe) return;  // before any name is put together
    see(value.scale ? (name + ".q").c_str() : name.c_str(), value.codes.value);
    see((name + ".scale").c_str(), value.scale);
  }
};

using ParameterVisitor = std::function<void(const std::string& name, Parameter& p)>;

inline constexpr Initial kNormalInitial{Initial::Kind::normal, 0.02};

inline Parameter norm_parameter(Index width) {
  return {.shape = {width}, .initial = {Initial::Kind::constant, 1}};
}

struct BitLinear {
  Parameter weight{};       // (O, I) latent
  Parameter norm_weight{};  // (I), or none

  BitLinear() = default;
  BitLinear(Index outputs, Index inputs, Quantize quantize, Initial initial, bool has_norm = true)
      : weight{.shape = {outputs, inputs},
               .weight_decay = true,
               .ternary = quantize == Quantize::ternary,
               .working_copy = quantize == Quantize::none,
               .sharding = Sharding::whole,
               .alignment = kSumPiece,
               .initial = initial},
        norm_weight(has_norm ? norm_parameter(inputs) : Parameter{}) {}
  bool has_norm() const { return norm_weight.shape.rank() > 0; }
  bool is_used() const { return weight.shape.rank() > 0; }  // of those that a layer may have

  // What products take: the ternary or the working copy, on the tape in the latent matrix's place.
  QuantizedVar weight_var(Tape* tape) {
    const Var latent = leaf(tape, weight);
    if (weight.working) return {.codes = {weight.working, latent.tape, latent.slot}};
    if (!weight.ternary) return {.codes = latent};
    return {.codes = {weight.copy.t, latent.tape, latent.slot}, .scale = weight.copy.scale};
  }

  // The product of rows that are normalised by norm_weight, if there is one, and quantised where it
  // is ternary, x (N, I) to (N, O).
  // Observed as NAME.input, NAME.weight and NAME.output; in backward with fp8 as NAME.underflow.
  Var operator()(const Pass& pass, const std::string& name, const QuantizedVar& x,
                 BackwardProducts backward) {
    const QuantizedVar w = weight_var(pass.tape);
    if (!pass.observe) return ternary_product(x, w, backward);
    pass.see(name + ".input", x);
    pass.see(name + ".weight", w);
    const Var y = ternary_product(x, w, backward, [pass, name](const Tensor& underflow) {
      pass.see((name + ".underflow").c_str(), underflow);
    });
    pass.see((name + ".output").c_str(), y.value);
    return y;
  }

  void members(const std::string& prefix, const ParameterVisitor& f) {
    f(prefix + "weight", weight);
    if (has_norm()) f(prefix + "norm.weight", norm_weight);
  }
};

}  // namespace tern
