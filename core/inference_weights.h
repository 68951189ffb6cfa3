// Weights to run a model, not to train it: of ternary matrices codes and scales alone, of all other
// parameters their values. No latent weights, no gradients.
#pragma once

#include <functional>
#include <vector>

#include "core/backend.h"

namespace tern {

class InferenceWeights {
 public:
  // Binds every parameter to memory of this backend, for as long as this object lives. They must
  // outlive it and not move. dtype: f32 or f64, of values and scales. Nothing is set yet.
  InferenceWeights(Backend& backend, std::vector<Parameter*> parameters, DType dtype = DType::f32);
  ~InferenceWeights();
  InferenceWeights(const InferenceWeights&) = delete;
  InferenceWeights& operator=(const InferenceWeights&) = delete;

  const std::vector<Parameter*>& parameters() const { return parameters_; }

  // Sets one: `fill` writes its values, as trained, to the tensor it is given (p.shape, dtype). Of
  // a ternary one that is memory which is free again afterwards; what stays is its copy, with the
  // bits that training has.
  void set(const Parameter& p, const std::function<void(const Tensor& values)>& fill);

 private:
  std::vector<Parameter*> parameters_;
  DType dtype_;
};

}  // namespace tern
