// The channel mixer: a gated linear unit of ternary projections.    (Shazeer 2020, SwiGLU)
#pragma once

#include "layers/mixer.h"

namespace tern {

// a, b = halves of gate_proj u;  branch = down_proj(silu(a) * b),  u = rms_norm(x, norm)
class Glu final : public Mixer {
 public:
  explicit Glu(const ModelConfig& config);
  Residual operator()(const Pass& pass, Residual in, Parameter& norm,
                      const MixerInput& with) override;
  std::vector<StateSpec> state(Index, DType) const override { return {}; }
  void members(const std::string& prefix, const ParameterVisitor& f) override;

 private:
  BitLinear gate_proj_;  // (2H, D): gate rows, then up rows
  BitLinear down_proj_;  // (D, H)
};

}  // namespace tern
