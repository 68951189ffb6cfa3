#include "layers/cumulative_mean.h"

#include "autograd/ops.h"

namespace tern {
namespace {

// Sums of x (B, T, D) over time, on top of what `before` (B, D) has, if it is given; that becomes
// the sum at the last step.
Var running_sum(const Var& x, const Tensor& before) {
  if (!before) return cumsum(x, 1);
  const auto [B, T, D] = dims<3>(x.value, "[cumulative_mean] x (B, T, D)");
  std::vector<Var> sequences;
  for (Index b = 0; b < B; ++b) {
    const Tensor sum = before.slice(b, 1).reshape({D});
    const Var steps = add(cumsum(reshape(slice(x, b, 1), {T, D}), 0), {sum});
    sum.backend().copy(sum, steps.value.slice(T - 1, 1).reshape({D}));
    sequences.push_back(reshape(steps, {1, T, D}));
  }
  return concatenate(sequences);
}

}  // namespace

Var cumulative_mean(const Var& key, const Var& value, const Var& gate, LayerState* state) {
  const Var k = exp(key);
  const Var sum = running_sum(multiply(k, value), state ? state->tensors[0] : Tensor{});
  const Var weight = running_sum(k, state ? state->tensors[1] : Tensor{});
  return multiply(sigmoid(gate), multiply(sum, reciprocal(weight)));
}

CumulativeMean::CumulativeMean(const ModelConfig& config) {
  for (BitLinear* layer : {&key_, &value_, &gate_, &out_})
    *layer = BitLinear(config.width, config.width, config.quantize, kNormalInitial);
}

Residual CumulativeMean::operator()(const Pass& pass, Residual in, Parameter& norm,
                                    const MixerInput& with) {
  Tape* tape = pass.tape;
  const Shape steps{with.batch, with.steps, norm.shape[0]};
  // u, then for each projection: normalised by its own weight and quantised
  const NormQuantized u =
      normalized_inputs(pass, std::move(in), norm, {&key_, &value_, &gate_}, with);
  const auto project = [&](const char* name, BitLinear& layer, const QuantizedVar& x) {
    return reshape(layer(pass, name, x, with.backward), steps);  // (B, T, D)
  };
  const Var h =
      cumulative_mean(project("key", key_, u.rows[0]), project("value", value_, u.rows[1]),
                      project("gate", gate_, u.rows[2]), with.state);
  const NormQuantized v = norm_quantize(reshape(h, u.sum.value.shape()), {}, {},
                                        {leaf(tape, out_.norm_weight)}, with.eps, with.quantized);
  return {.x = u.sum, .branch = out_(pass, "out", v.rows[0], with.backward)};
}

std::vector<StateSpec> CumulativeMean::state(const StateRequest& request) const {
  const Shape sums{request.batch, out_.weight.shape[0]};
  return {{.shape = sums, .dtype = request.real}, {.shape = sums, .dtype = request.real}};
}

void CumulativeMean::members(const std::string& prefix, const ParameterVisitor& f) {
  key_.members(prefix + "key.", f);
  value_.members(prefix + "value.", f);
  gate_.members(prefix + "gate.", f);
  out_.members(prefix + "out.", f);
}

}  // namespace tern
