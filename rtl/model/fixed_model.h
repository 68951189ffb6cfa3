// A ternary MatMul-free model in the accelerator's arithmetic, one token at a time: what a program
// of its instructions must compute, bit for bit. Norms are folded into scales: a row's codes do not
// change when the row is scaled (docs/accelerator.md).
#pragma once

#include "rtl/model/fixed_weights.h"

namespace tern::rtl {

class FixedModel {
 public:
  // fraction: bits behind the point of the residual stream (an image takes kFewestResidualFraction
  // to kMostResidualFraction); its values must stay below 2^(26 - fraction). One sequence;
  // model.state is not used.
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
    int shift = 0;
    Scalar g{};
    ScaledSums scaled() const { return {sums, shift, g}; }
    ScaledSums scaled(std::size_t first, std::size_t count) const {
      return {std::span(sums).subspan(first, count), shift, g};
    }
  };
  Product multiply(const FixedMatrix& matrix, const QuantizedRow& row, const Scalar& mean_square,
                   int fraction);
  Product normalized_product(const FixedMatrix& matrix, const NormVector& block);
  void mix_tokens(const FixedLayer& layer, Vector& state);
  void mix_channels(const FixedLayer& layer);

  const DecodeModel model_;
  Backend& on_;
  const int fraction_;
  const FixedWeights weights_;
  Tensor one_{};
  std::vector<Vector> state_{};
  Vector x_{}, logits_{};
  Scalar logit_scale_{};
  Saturation saturate_{};
};

}  // namespace tern::rtl
