#include "layers/model.h"

#include "autograd/ops/primitives.h"
#include "core/host.h"
#include "layers/device_limits.h"

namespace tern {

Model::Model(Backend& backend, const ModelConfig& config, const ModelOptions& options)
    : backend_(backend), config_(config), options_(options) {
  require_supported(config, options.fp8_dx, backend.traits());
  const Index V = config.vocab_size, D = config.width, L = config.layers;
  embeddings_.shape = {V, D};
  embeddings_.divided = true;
  lower_bounds_.shape = {L, D};
  norm_.shape = {D};
  lm_head_ = BitLinear(V, D);
  blocks_.reserve(L);
  for (Index l = 0; l < L; ++l) blocks_.emplace_back(D, config.glu_width());

  std::vector<Parameter*> parameters;
  walk("", *this, [&](const std::string& name, Parameter& p) {
    p.name = name;
    parameters.push_back(&p);
  });
  // Rows are read in the dtype of the stream: a table of that dtype loses nothing more.
  pack_ = std::make_unique<ParameterPack>(backend, parameters, options.dtype, options.trainable,
                                          options.share,
                                          PackFormats{options.gradients, options.residual});
  if (config.quantize == Quantize::none) return;
  pack_->make_ternary_copies();
  walk("", *this,
       [&](const std::string&, BitLinear& layer) { layer.ternary = pack_->ternary(layer.weight); });
}

void Model::quantize(bool count) {
  if (!pack_->ternary()) return;
  pack_->ternary()->sum_magnitudes();
  pack_->ternary()->quantize(count);
}

std::vector<TernaryStats> Model::ternary_stats() {
  std::vector<TernaryStats> out;
  if (!pack_->stats()) return out;
  const std::vector<double> counts = download_real(pack_->stats());  // (M, 2)
  const std::vector<double> scales = download_real(pack_->scales());
  walk("", *this, [&](const std::string& name, BitLinear& layer) {
    const std::size_t i = pack_->place_of(layer.weight);
    const double n = double(layer.weight.shape.elements());
    out.push_back({.name = name,
                   .elements = layer.weight.shape.elements(),
                   .zero_share = counts[2 * i] / n,
                   .flip_rate = counts[2 * i + 1] / n,
                   .scale = scales[i]});
  });
  return out;
}

// bounds[l] = sum over 1..l of softmax(lower_bounds, over layers); row 0 is zero and not used.
Var Model::gate_bounds(Tape* tape) {
  if (!config_.use_lower_bound) return {};
  const Var shares = cumsum(softmax(leaf(tape, lower_bounds_), 0), 0);  // (L, D)
  const Shape row{config_.width};
  return subtract(shares, reshape(slice(shares, 0, 1), row));
}

Residual Model::run_block(const Pass& pass, Index layer, Residual in, const BlockInput& with) {
  if (options_.recompute != Recompute::full || !pass.tape)
    return blocks_[layer](pass, std::move(in), with);
  Block* block = &blocks_[layer];
  BlockInput inside = with;
  inside.bound = {};  // passed as an input: it is an outer Var
  // The sum is kept, one tensor rather than two; where dtypes differ, both: add() takes one dtype.
  if (in.branch.value && in.branch.value.dtype() == in.x.value.dtype())
    in = {.x = add(in.x, in.branch)};
  const auto out = checkpoint(pass.tape,
                              [block, inside](Tape* tape, std::span<const Var> v) {
                                BlockInput now = inside;
                                now.bound = v[2];
                                const Residual r =
                                    (*block)(Pass{.tape = tape}, {.x = v[0], .branch = v[1]}, now);
                                return std::vector<Var>{r.x, r.branch};
                              },
                              {in.x, in.branch, with.bound});
  return {.x = out[0], .branch = out[1]};
}

QuantizedVar Model::body(const Pass& pass, const Tensor& ids, const Tensor& state) {
  const auto [B, T] = dims<2>(ids, "[Model] ids (B, T)");
  const bool quantized = config_.quantize == Quantize::ternary;
  const Index D = config_.width;
  const Var bounds = gate_bounds(pass.tape);
  Residual x{.x = embedding(leaf(pass.tape, embeddings_), ids.reshape({B * T}),
                            options_.residual)};  // (N, D)
  for (Index l = 0; l < config_.layers; ++l) {
    Pass inside = pass;
    inside.scope = "model.layers." + std::to_string(l) + ".";
    BlockInput with{.batch = B,
                    .steps = T,
                    .eps = config_.rms_norm_eps,
                    .quantized = quantized,
                    .activations = activations(),
                    .remake = options_.recompute == Recompute::cheap && pass.tape,
                    .fp8_dx = options_.fp8_dx};
    if (l > 0 && bounds.value) with.bound = reshape(slice(bounds, l, 1), {D});
    if (state) with.state = state.slice(l, 1).reshape({B, D});
    inside.see("bound", with.bound.value);
    x = run_block(inside, l, std::move(x), with);
  }
  NormQuantized out =
      norm_quantize(x.x, x.branch, leaf(pass.tape, norm_), {leaf(pass.tape, lm_head_.norm_weight)},
                    config_.rms_norm_eps, quantized, activations());
  pass.see("model.output", out.sum.value);
  pass.see("lm_head.input", out.rows[0]);
  return out.rows[0];
}

Tensor Model::logits(const Pass& pass, const Tensor& ids, const Tensor& state) {
  const QuantizedVar x = body(pass, ids, state);
  const QuantizedVar w = lm_head_.weight_var(pass.tape);
  pass.see("lm_head.weight", w);
  const Tensor y = ternary_product(x, w).value;
  pass.see("lm_head.output", y);
  return y;
}

CrossEntropyOutput Model::loss(const Pass& pass, const Tensor& ids, const Tensor& targets,
                               const Tensor& weight) {
  const QuantizedVar x = body(pass, ids, {});
  const QuantizedVar w = lm_head_.weight_var(pass.tape);
  pass.see("lm_head.weight", w);
  return cross_entropy(x, w, targets.reshape({targets.elements()}), weight, options_.loss_rows);
}

Tensor Model::new_state(Index batch) {
  const Tensor state(backend_, {config_.layers, batch, config_.width}, options_.dtype);
  backend_.fill(state, 0);
  return state;
}

}  // namespace tern
