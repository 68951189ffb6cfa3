#include <cmath>

#include "autograd/ops.h"
#include "layers/mixers.h"

namespace tern {
namespace {

// The reference code: Xavier-uniform of gain 2^-2.5.
BitLinear projection(const ModelConfig& config) {
  const Index D = config.width;
  const Initial xavier{Initial::Kind::uniform,
                       std::pow(2.0, -2.5) * std::sqrt(6.0 / double(D + D))};
  return BitLinear(D, D, config.quantize, config.init == Init::normal ? kNormalInitial : xavier);
}

}  // namespace

MlgruMixer::MlgruMixer(const ModelConfig& config)
    : i_proj_(projection(config)), f_proj_(projection(config)), o_proj_(projection(config)) {
  if (!config.use_output_gate) return;
  g_proj_ = projection(config);
  g_norm_ = norm_parameter(config.width);
}

Residual MlgruMixer::operator()(const Pass& pass, Residual in, Parameter& norm,
                                const MixerInput& with) {
  Tape* tape = pass.tape;
  const Index N = with.batch * with.steps, D = norm.shape[0];
  const Shape rows{N, D}, steps{with.batch, with.steps, D};
  const bool gated = g_proj_.is_used();
  std::vector<BitLinear*> layers = {&i_proj_, &f_proj_};
  if (gated) layers.push_back(&g_proj_);
  NormQuantized u = normalized_inputs(pass, std::move(in), norm, layers, with);
  const auto project = [&](const char* name, BitLinear& layer, QuantizedVar& x) {
    return layer(pass, name, std::exchange(x, {}), with.backward);  // (N, D)
  };
  const Var i = project("i_proj", i_proj_, u.rows[0]);
  const Var f = project("f_proj", f_proj_, u.rows[1]);
  const Var g = gated ? project("g_proj", g_proj_, u.rows[2]) : Var{};
  const Tensor before = with.state ? with.state->tensors[0] : Tensor{};
  MlgruOutput out = mlgru(reshape(f, steps), reshape(i, steps), with.bound, {before}, bool(before),
                          with.scan_again() && gated);  // norm_quantize would keep h all the same
  if (before) before.backend().copy(before, out.last);
  pass.see("state", out.h.value);
  Var h = reshape(out.h, rows);
  out = {};
  const Var weight = leaf(tape, o_proj_.norm_weight);
  QuantizedVar y = gated ? gated_norm_quantize(g, h, leaf(tape, g_norm_), weight, with.eps,
                                               with.quantized, with.norms_again())
                         : norm_quantize(h, {}, {}, {weight}, with.eps, with.quantized,
                                         with.activations, with.norms_again())
                               .rows[0];
  h = {};
  return {.x = u.sum, .branch = project("o_proj", o_proj_, y)};
}

std::vector<StateSpec> MlgruMixer::state(const StateRequest& request) const {
  return {{.shape = {request.batch, o_proj_.weight.shape[0]}, .dtype = request.real}};
}

void MlgruMixer::members(const std::string& prefix, const ParameterVisitor& f) {
  i_proj_.members(prefix + "i_proj.", f);
  f_proj_.members(prefix + "f_proj.", f);
  if (g_proj_.is_used()) {
    g_proj_.members(prefix + "g_proj.", f);
    f(prefix + "g_norm.weight", g_norm_);
  }
  o_proj_.members(prefix + "o_proj.", f);
}

}  // namespace tern
