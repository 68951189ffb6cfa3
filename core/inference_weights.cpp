#include "core/inference_weights.h"

namespace tern {

InferenceWeights::InferenceWeights(Backend& backend, std::vector<Parameter*> parameters,
                                   DType dtype)
    : parameters_(std::move(parameters)), dtype_(dtype) {
  for (Parameter* p : parameters_) {
    if (p->ternary)
      p->copy = {.t = Tensor(backend, p->shape, DType::i8), .scale = Tensor(backend, {1}, dtype)};
    else
      p->value = Tensor(backend, p->shape, dtype);
  }
}

InferenceWeights::~InferenceWeights() {
  for (Parameter* p : parameters_) p->value = {}, p->copy = {};
}

void InferenceWeights::set(const Parameter& p,
                           const std::function<void(const Tensor& values)>& fill) {
  if (!p.ternary) return fill(p.value);
  Backend& on = p.copy.t.backend();
  const Tensor values(on, p.shape, dtype_), sums(on, {sum_pieces(p.shape.elements())}, DType::f64);
  fill(values);
  on.run(SumMagnitudes{.sums = sums, .w = values});
  on.run(QuantizeTernary{.y = p.copy, .w = values, .magnitudes = sums});
}

}  // namespace tern
