#include "layers/mixer.h"

namespace tern {

NormQuantized normalized_inputs(const Pass& pass, Residual in, Parameter& norm,
                                const std::vector<BitLinear*>& projections,
                                const MixerInput& with) {
  std::vector<Var> weights;
  for (BitLinear* projection : projections)
    if (projection->has_norm()) weights.push_back(leaf(pass.tape, projection->norm_weight));
  const Var block = leaf(pass.tape, norm);
  if (!weights.empty())
    return norm_quantize(in.x, in.branch, block, weights, with.eps, with.quantized,
                         with.activations, with.norms_again());
  return norm_quantize(in.x, in.branch, {}, {block}, with.eps, false, with.activations,
                       with.norms_again());
}

}  // namespace tern
