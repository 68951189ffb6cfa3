// The mixers of Transformer++, the model that the MatMul-free one is compared with: Llama's shape
// (arXiv 2302.13971). Dense, as published; or with every projection a BitLinear (arXiv 2402.17764),
// each with its own norm.
#pragma once

#include "layers/mixer.h"

namespace tern {

// branch = o_proj(attention(rotary(q_proj u, k_proj u, v_proj u))),  u = rms_norm(x, norm)
// A dense model has the three projections in one matrix, qkv_proj.
class AttentionMixer final : public Mixer {
 public:
  explicit AttentionMixer(const ModelConfig& config);
  Residual operator()(const Pass& pass, Residual in, Parameter& norm,
                      const MixerInput& with) override;
  // keys and values of the positions so far (B, C, 2D), C as many as there is room for
  std::vector<StateSpec> state(const StateRequest& request) const override;
  void members(const std::string& prefix, const ParameterVisitor& f) override;

 private:
  Var queries_keys_values(const Pass& pass, Residual& in, Parameter& norm, const MixerInput& with);

  RotaryOptions rotary_;
  BitLinear qkv_proj_{};                      // (3D, D), if dense
  BitLinear q_proj_{}, k_proj_{}, v_proj_{};  // (D, D) each, if not
  BitLinear o_proj_;                          // (D, D)
};

// branch = down_proj(silu(gate_proj u) * up_proj u),  u = rms_norm(x, norm)     (SwiGLU)
// A dense model has gate and up projection in one matrix, gate_up_proj.
class SwigluMixer final : public Mixer {
 public:
  explicit SwigluMixer(const ModelConfig& config);
  Residual operator()(const Pass& pass, Residual in, Parameter& norm,
                      const MixerInput& with) override;
  std::vector<StateSpec> state(const StateRequest&) const override { return {}; }
  void members(const std::string& prefix, const ParameterVisitor& f) override;

 private:
  BitLinear gate_up_proj_{};           // (2H, D), if dense: gate rows, then up rows
  BitLinear gate_proj_{}, up_proj_{};  // (H, D) each, if not
  BitLinear down_proj_;                // (D, H)
};

}  // namespace tern
