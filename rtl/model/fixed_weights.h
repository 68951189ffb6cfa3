// A ternary MatMul-free model's weights as the accelerator has them: norms as mantissas with a
// common exponent, bounds as what they leave open, scales inverted.
#pragma once

#include <vector>

#include "core/decode_step.h"
#include "rtl/model/operations.h"

namespace tern::rtl {

// A BitLinear: v = x `into`, S = q . t; its output is S g with g = max |v| / (127 scale rms).
struct FixedMatrix {
  Tensor tiles{};     // (O, I) t2
  NormVector into{};  // the layer's norm weights, times the block's if there is one
  Scalar inverse{};   // 1 / (127 scale)
  std::int64_t outputs = 0, inputs = 0;
};

struct FixedLayer {
  NormVector token_norm{}, channel_norm{}, g_norm{};  // (D)
  FixedMatrix i{}, f{}, g{}, o{}, gate{}, down{};
  std::vector<std::uint16_t> open{};  // (D) 1 - bound of the forget gate, Q.16; empty: no bound
};

struct FixedWeights {
  std::vector<FixedLayer> layers{};
  NormVector norm{};  // (D), the last one
  FixedMatrix head{};
  Scalar eps{};

  std::int64_t width() const { return head.inputs; }
};
// Fault::input for numbers that are not finite, norms or scales of 0, bounds outside 0 to 1.
FixedWeights fixed_weights(const DecodeModel& model);

// The embedding of a token with `fraction` bits behind the point: what enters the first layer.
// What 27 bits do not hold is saturated and counted.
Vector embedding_of(const DecodeModel& model, std::int32_t id, int fraction, Saturation& saturate);

}  // namespace tern::rtl
