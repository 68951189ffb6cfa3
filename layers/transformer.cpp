#include "layers/transformer.h"

#include <cmath>

#include "core/backend.h"

namespace tern {
namespace {

constexpr Index kFirstCapacity = 64;  // positions that a new cache has room for at least

bool is_dense(const ModelConfig& config) {
  return config.quantize == Quantize::none;
}

// A projection that adds to the stream: with the reference's initial values, smaller the more there
// are of them. (Radford et al. 2019, GPT-2)
BitLinear output_projection(const ModelConfig& config, Index inputs) {
  Initial initial = kNormalInitial;
  if (config.init == Init::reference) initial.amount /= std::sqrt(2.0 * double(config.layers));
  return BitLinear(config.width, inputs, config.quantize, initial, !is_dense(config));
}

BitLinear projection(const ModelConfig& config, Index outputs) {
  return BitLinear(outputs, config.width, config.quantize, kNormalInitial, !is_dense(config));
}

// Makes room for `steps` more positions.
void grow(LayerState& state, Index steps) {
  Tensor& cache = state.tensors[0];
  const Index B = cache.shape()[0], C = cache.shape()[1], columns = cache.shape()[2];
  const Index needed = state.steps + steps;
  if (needed <= C) return;
  Backend& on = cache.backend();
  const Index capacity = std::max(needed, 2 * C);
  const Tensor larger(on, {B, capacity, columns}, cache.dtype());
  for (Index b = 0; b < B && state.steps > 0; ++b)
    on.copy(larger.slice(b, 1).reshape({capacity, columns}).slice(0, state.steps),
            cache.slice(b, 1).reshape({C, columns}).slice(0, state.steps));
  cache = larger;
}

}  // namespace

AttentionMixer::AttentionMixer(const ModelConfig& config)
    : rotary_{.heads = config.heads(),
              .theta = config.rope_theta,
              .ternary = config.attention == AttentionKind::ternary},
      o_proj_(output_projection(config, config.width)) {
  if (is_dense(config))
    qkv_proj_ = projection(config, 3 * config.width);
  else
    for (BitLinear* layer : {&q_proj_, &k_proj_, &v_proj_})
      *layer = projection(config, config.width);
}

// (B, T, 3D), rotated
Var AttentionMixer::queries_keys_values(const Pass& pass, Residual& in, Parameter& norm,
                                        const MixerInput& with) {
  const Index B = with.batch, T = with.steps, D = norm.shape[0];
  RotaryOptions options = rotary_;
  if (with.state) options.first = with.state->steps;
  if (qkv_proj_.is_used()) {
    NormQuantized u = normalized_inputs(pass, std::move(in), norm, {&qkv_proj_}, with);
    in.x = u.sum;
    Var qkv = qkv_proj_(pass, "qkv_proj", std::exchange(u.rows[0], {}), {});
    qkv = reshape(qkv, {B, T, 3 * D});
    return rotary(std::move(qkv), options);
  }
  NormQuantized u =
      normalized_inputs(pass, std::move(in), norm, {&q_proj_, &k_proj_, &v_proj_}, with);
  in.x = u.sum;
  const auto project = [&](const char* name, BitLinear& layer, QuantizedVar& x) {
    return reshape(layer(pass, name, std::exchange(x, {}), with.backward), {B, T, D});
  };
  const Var q = project("q_proj", q_proj_, u.rows[0]), k = project("k_proj", k_proj_, u.rows[1]),
            v = project("v_proj", v_proj_, u.rows[2]);
  return rotary(q, k, v, options);
}

Residual AttentionMixer::operator()(const Pass& pass, Residual in, Parameter& norm,
                                    const MixerInput& with) {
  const Index N = with.batch * with.steps, D = norm.shape[0];
  Residual stream = std::move(in);
  Var h;
  {
    const Var qkv = queries_keys_values(pass, stream, norm, with);
    KeyValueCache cache;
    if (with.state) cache = {with.state->tensors[0], with.state->steps};
    h = reshape(attention(qkv, rotary_.heads, cache), {N, D});
    if (with.state) {
      grow(*with.state, with.steps);
      const Tensor& to = with.state->tensors[0];
      to.backend().run(StoreKeysValues{.cache = to, .qkv = qkv.value, .at = with.state->steps});
    }
  }
  pass.see("heads", h.value);
  QuantizedVar rows{.codes = h};
  if (o_proj_.has_norm())
    rows = norm_quantize(h, {}, {}, {leaf(pass.tape, o_proj_.norm_weight)}, with.eps,
                         with.quantized, with.activations, with.norms_again())
               .rows[0];
  h = {};
  return {.x = stream.x, .branch = o_proj_(pass, "o_proj", std::exchange(rows, {}), with.backward)};
}

std::vector<StateSpec> AttentionMixer::state(const StateRequest& request) const {
  return {{.shape = {request.batch, std::max(request.positions, kFirstCapacity),
                     2 * o_proj_.weight.shape[1]},
           .dtype = request.activations,
           .cache = true}};
}

void AttentionMixer::members(const std::string& prefix, const ParameterVisitor& f) {
  if (qkv_proj_.is_used()) {
    qkv_proj_.members(prefix + "qkv_proj.", f);
  } else {
    q_proj_.members(prefix + "q_proj.", f);
    k_proj_.members(prefix + "k_proj.", f);
    v_proj_.members(prefix + "v_proj.", f);
  }
  o_proj_.members(prefix + "o_proj.", f);
}

SwigluMixer::SwigluMixer(const ModelConfig& config)
    : down_proj_(output_projection(config, config.glu_width())) {
  const Index H = config.glu_width();
  if (is_dense(config))
    gate_up_proj_ = projection(config, 2 * H);
  else
    for (BitLinear* layer : {&gate_proj_, &up_proj_}) *layer = projection(config, H);
}

Residual SwigluMixer::operator()(const Pass& pass, Residual in, Parameter& norm,
                                 const MixerInput& with) {
  QuantizedVar hidden;  // (N, H)
  NormQuantized u;
  if (gate_up_proj_.is_used()) {
    u = normalized_inputs(pass, std::move(in), norm, {&gate_up_proj_}, with);
    const Var ab = gate_up_proj_(pass, "gate_up_proj", std::exchange(u.rows[0], {}), {});
    // always computed again in backward: at 2.7B a seventh of the activations for 1 % of the time
    hidden = {.codes = swiglu(ab, true)};
  } else {
    u = normalized_inputs(pass, std::move(in), norm, {&gate_proj_, &up_proj_}, with);
    const Var a = gate_proj_(pass, "gate_proj", std::exchange(u.rows[0], {}), with.backward);
    const Var b = up_proj_(pass, "up_proj", std::exchange(u.rows[1], {}), with.backward);
    hidden = swiglu_norm_quantize(a, b, leaf(pass.tape, down_proj_.norm_weight), with.eps,
                                  with.quantized, with.rows_again());
  }
  return {.x = u.sum,
          .branch = down_proj_(pass, "down_proj", std::exchange(hidden, {}), with.backward)};
}

void SwigluMixer::members(const std::string& prefix, const ParameterVisitor& f) {
  if (gate_up_proj_.is_used()) {
    gate_up_proj_.members(prefix + "gate_up_proj.", f);
  } else {
    gate_proj_.members(prefix + "gate_proj.", f);
    up_proj_.members(prefix + "up_proj.", f);
  }
  down_proj_.members(prefix + "down_proj.", f);
}

}  // namespace tern
