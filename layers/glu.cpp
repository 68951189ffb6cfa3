#include <cmath>

#include "layers/mixers.h"

namespace tern {

Glu::Glu(const ModelConfig& config) {
  const Index D = config.width, H = config.glu_width();
  Initial down = kNormalInitial;  // the reference code: smaller in deep models
  if (config.init == Init::reference) down.amount /= std::sqrt(2.0 * double(config.layers));
  gate_proj_ = BitLinear(2 * H, D, config.quantize, kNormalInitial);
  down_proj_ = BitLinear(D, H, config.quantize, down);
}

Residual Glu::operator()(const Pass& pass, Residual in, Parameter& norm, const MixerInput& with) {
  NormQuantized u = normalized_inputs(pass, std::move(in), norm, {&gate_proj_}, with);
  const Var ab =
      gate_proj_(pass, "gate_proj", std::exchange(u.rows[0], {}), with.backward);  // (N, 2H)
  QuantizedVar hidden = swiglu_norm_quantize(ab, leaf(pass.tape, down_proj_.norm_weight), with.eps,
                                             with.quantized, with.rows_again());  // (N, H)
  return {.x = u.sum,
          .branch = down_proj_(pass, "down_proj", std::exchange(hidden, {}), with.backward)};
}

void Glu::members(const std::string& prefix, const ParameterVisitor& f) {
  gate_proj_.members(prefix + "gate_proj.", f);
  down_proj_.members(prefix + "down_proj.", f);
}

}  // namespace tern
