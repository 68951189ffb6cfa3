// The mixers of the MatMul-free model.
#pragma once

#include "layers/mixer.h"

namespace tern {

// The token mixer: a gated linear recurrence between ternary projections.
//                                                                  (arXiv 2406.02528, MLGRU)
// f = sigmoid(f_proj u), bounded below;  c = silu(i_proj u);  h[t] = f h[t-1] + (1 - f) c;
// branch = o_proj(rms_norm(g_proj u, g_norm) * silu(h)),  u = rms_norm(x, norm); without output
// gate o_proj(h)
class MlgruMixer final : public Mixer {
 public:
  explicit MlgruMixer(const ModelConfig& config);
  Residual operator()(const Pass& pass, Residual in, Parameter& norm,
                      const MixerInput& with) override;
  std::vector<StateSpec> state(const StateRequest& request) const override;  // h[T-1] (B, D)
  void members(const std::string& prefix, const ParameterVisitor& f) override;

 private:
  BitLinear i_proj_, f_proj_, g_proj_, o_proj_;  // (D, D) each
  Parameter g_norm_;                             // (D)
};

// The channel mixer: a gated linear unit of ternary projections.    (Shazeer 2020, SwiGLU)
// a, b = halves of gate_proj u;  branch = down_proj(silu(a) * b),  u = rms_norm(x, norm)
class Glu final : public Mixer {
 public:
  explicit Glu(const ModelConfig& config);
  Residual operator()(const Pass& pass, Residual in, Parameter& norm,
                      const MixerInput& with) override;
  std::vector<StateSpec> state(const StateRequest&) const override { return {}; }
  void members(const std::string& prefix, const ParameterVisitor& f) override;

 private:
  BitLinear gate_proj_;  // (2H, D): gate rows, then up rows
  BitLinear down_proj_;  // (D, H)
};

}  // namespace tern
