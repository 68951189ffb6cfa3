// A ternary MatMul-free model in the accelerator's arithmetic, one token at a time: the
// specification that the SystemVerilog must equal bit for bit. Norms are folded into scales: a
// row's codes do not change when the row is scaled (docs/accelerator.md).
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
  Vector open{};  // (D) 1 - bound of the forget gate, Q.16
};

class FixedModel {
 public:
  // fraction: bits behind the point of the residual stream, 12 to 20; its values must stay below
  // 2^(26 - fraction). One sequence; model.state is not used.
  explicit FixedModel(const DecodeModel& model, int fraction = 16);

  // Integer sums (V) of the head for what follows this token; times logit_scale() they are logits.
  const Vector& step(std::int32_t id);
  const Scalar& logit_scale() const { return logit_scale_; }
  void clear();  // back to the beginning of a text

  std::int64_t saturations() const { return saturate_.count(); }
  const std::vector<Vector>& state() const { return state_; }  // of each layer (D), Q.24

 private:
  struct Product {
    Vector sums{};
    Scalar g{};
  };
  Product multiply(const FixedMatrix& matrix, const QuantizedRow& row, const Scalar& mean_square,
                   int fraction);
  Product normalized_product(const FixedMatrix& matrix, const NormVector& block);
  Vector gate_inputs(const Product& product, std::int64_t inputs, std::size_t count);
  void mix_tokens(const FixedLayer& layer, Vector& state);
  void mix_channels(const FixedLayer& layer);
  void add_to_residual(const Product& product, std::int64_t inputs);

  Backend& on_;
  const int fraction_;
  const Scalar eps_;
  Tensor table_{}, row_scale_{}, one_{};
  std::vector<FixedLayer> layers_{};
  NormVector norm_{};
  FixedMatrix head_{};
  std::vector<Vector> state_{};
  Vector x_{}, logits_{};
  Scalar logit_scale_{};
  Saturation saturate_{};
};

}  // namespace tern::rtl
