// A token mixer without a kernel of its own: each channel's mean of everything so far, every token
// weighed by a learned importance, and a gate on the result. docs/adding_a_mixer.md walks through
// it.                                  (the causal form of the attention free transformer,
//                                       arXiv 2105.14103)
#pragma once

#include "layers/mixer.h"

namespace tern {

// h[t] = sigmoid(gate[t]) * (k[0] v[0] + ... + k[t] v[t]) / (k[0] + ... + k[t]),  k = exp(key),
// v = value. All (B, T, D). state: both sums so far, (B, D) each, and afterwards with these steps;
// null: from zero.
Var cumulative_mean(const Var& key, const Var& value, const Var& gate, LayerState* state = nullptr);

// branch = out(cumulative_mean(key u, value u, gate u)),  u = rms_norm(x, norm)
class CumulativeMean final : public Mixer {
 public:
  explicit CumulativeMean(const ModelConfig& config);
  Residual operator()(const Pass& pass, Residual in, Parameter& norm,
                      const MixerInput& with) override;
  std::vector<StateSpec> state(
      const StateRequest& request) const override;  // both sums, (B, D) each
  void members(const std::string& prefix, const ParameterVisitor& f) override;

 private:
  BitLinear key_, value_, gate_, out_;  // (D, D) each
};

}  // namespace tern
