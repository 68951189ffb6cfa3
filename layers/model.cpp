#include "layers/model.h"

#include "autograd/ops.h"
#include "core/backend.h"
#include "layers/model_config.h"

namespace tern {
namespace {

// These rows of x, along its leading dimension, in this order: copies, as kernels want aligned
// rows.
Tensor rows_of(const Tensor& x, std::span<const Index> rows) {
  Shape shape{Index(rows.size())};
  for (int i = 1; i < x.shape().rank(); ++i) shape.push_back(x.shape()[i]);
  const Tensor out(x.backend(), shape, x.dtype());
  for (std::size_t i = 0; i < rows.size(); ++i)
    x.backend().copy(out.slice(Index(i), 1), x.slice(rows[i], 1));
  return out;
}

// x (B*T, ...) -> the rows of the last step of each sequence, (B, ...)
Tensor last_rows(const Tensor& x, Index B, Index T) {
  if (T == 1) return x;
  std::vector<Index> rows;
  for (Index b = 0; b < B; ++b) rows.push_back(b * T + T - 1);
  return rows_of(x, rows);
}

}  // namespace

Model::Model(const ModelConfig& config, const ModelOptions& options)
    : config_(config), options_(options), family_(family_of(config.type)) {
  const Index V = config.vocab_size, D = config.width, L = config.layers;
  embeddings_ = {.shape = {V, D}, .sharding = Sharding::rows, .initial = kNormalInitial};
  lower_bounds_ = {.shape = {L, D}};
  norm_ = norm_parameter(D);
  lm_head_ = BitLinear(V, D, config.quantize, kNormalInitial,
                       family_.dense_norms || config.quantize == Quantize::ternary);
  for (Index l = 0; l < L; ++l)
    blocks_.push_back({.token_norm = norm_parameter(D),
                       .channel_norm = norm_parameter(D),
                       .token = family_.make_token_mixer(config),
                       .channel = family_.make_channel_mixer(config)});
  declare();
}

void Model::declare() {
  const ParameterVisitor add = [&](const std::string& name, Parameter& p) {
    p.name = name;
    parameters_.push_back(&p);
  };
  const auto named = [](std::string_view prefix, std::string_view name, const char* end) {
    return std::string(prefix) + std::string(name) + end;
  };
  add(named("model.", family_.embeddings, ".weight"), embeddings_);
  if (config_.use_lower_bound && family_.lower_bounds) add("model.lower_bounds", lower_bounds_);
  for (std::size_t l = 0; l < blocks_.size(); ++l) {
    const std::string layer = "model.layers." + std::to_string(l) + '.';
    Block& block = blocks_[l];
    add(named(layer, family_.token_norm, ".weight"), block.token_norm);
    block.token->members(named(layer, family_.token_mixer, "."), add);
    add(named(layer, family_.channel_norm, ".weight"), block.channel_norm);
    block.channel->members(named(layer, family_.channel_mixer, "."), add);
  }
  add("model.norm.weight", norm_);
  lm_head_.members("lm_head.", add);
}

ParameterCount Model::count() const {
  ParameterCount n{.embedding = embeddings_.shape.elements(),
                   .head = lm_head_.weight.shape.elements()};
  const auto add_mixer = [&](Mixer& mixer, std::int64_t& matrices) {
    mixer.members("", [&](const std::string&, const Parameter& p) {
      (p.shape.rank() == 1 ? n.norms : matrices) += p.shape.elements();
    });
  };
  for (const Block& block : blocks_) {
    add_mixer(*block.token, n.token_mixer);
    add_mixer(*block.channel, n.channel_mixer);
    n.norms += block.token_norm.shape.elements() + block.channel_norm.shape.elements();
  }
  n.norms += norm_.shape.elements();
  if (lm_head_.has_norm()) n.norms += lm_head_.norm_weight.shape.elements();
  if (config_.use_lower_bound && family_.lower_bounds)
    n.lower_bounds = lower_bounds_.shape.elements();
  return n;
}

ParameterCount count_parameters(const ModelConfig& model) {
  return Model(model, {}).count();
}

// bounds[l] = sum over 1..l of softmax(lower_bounds, over layers); row 0 is zero and not used.
Var Model::gate_bounds(Tape* tape) {
  if (!config_.use_lower_bound || !family_.lower_bounds) return {};
  if (kept_bounds_ && !tape) return {kept_bounds_};
  const Var shares = cumsum(softmax(leaf(tape, lower_bounds_), 0), 0);  // (L, D)
  const Shape row{config_.width};
  return subtract(shares, reshape(slice(shares, 0, 1), row));
}

Residual Model::run(const Pass& pass, Block& block, Residual in, const MixerInput& with) {
  const auto inside = [&](std::string_view name) {
    Pass mixer = pass;
    if (pass.observe) mixer.scope += std::string(name) + '.';
    return mixer;
  };
  Residual middle =
      (*block.token)(inside(family_.token_mixer), std::move(in), block.token_norm, with);
  pass.see("input", middle.x.value);
  Residual out =
      (*block.channel)(inside(family_.channel_mixer), std::move(middle), block.channel_norm, with);
  pass.see("middle", out.x.value);
  return out;
}

Residual Model::run_block(const Pass& pass, Index layer, Residual in, const MixerInput& with) {
  Block& block = blocks_[layer];
  if (options_.recompute != Recompute::full || !pass.tape)
    return run(pass, block, std::move(in), with);
  MixerInput inside = with;
  inside.bound = {};  // passed as an input: it is an outer Var
  // The sum is kept, one tensor rather than two; where dtypes differ, both: add() takes one dtype.
  if (in.branch.value && in.branch.value.dtype() == in.x.value.dtype())
    in = {.x = add(in.x, in.branch)};
  const auto out = checkpoint(pass.tape,
                              [this, &block, inside, pass](Tape* tape, std::span<const Var> v) {
                                MixerInput now = inside;
                                now.bound = v[2];
                                Pass again = pass;  // both runs are observed
                                again.tape = tape;
                                const Residual r =
                                    run(again, block, {.x = v[0], .branch = v[1]}, now);
                                return std::vector<Var>{r.x, r.branch};
                              },
                              {in.x, in.branch, with.bound});
  return {.x = out[0], .branch = out[1]};
}

QuantizedVar Model::body(const Pass& pass, const Tensor& ids, ModelState* state) {
  require_supported(config_, options_.backward, ids.backend().traits());
  const auto [B, T] = dims<2>(ids, "[Model] ids (B, T)");
  const Index D = config_.width;
  MixerInput common{.batch = B,
                    .steps = T,
                    .eps = config_.rms_norm_eps,
                    .quantized = config_.quantize == Quantize::ternary,
                    .activations = activations(),
                    .recompute = pass.tape ? options_.recompute : Recompute::none,
                    .backward = options_.backward};
  const Var bounds = gate_bounds(pass.tape);
  const Quantized& rows = embeddings_.table;
  const Var table = rows.q ? Var{rows.q} : leaf(pass.tape, embeddings_);
  Residual x{.x = embedding(table, ids.reshape({B * T}), options_.residual.value_or(options_.dtype),
                            rows.row_scale)};  // (N, D)
  for (Index l = 0; l < config_.layers; ++l) {
    Pass inside = pass;
    if (pass.observe) inside.scope = "model.layers." + std::to_string(l) + ".";
    MixerInput with = common;
    if (l > 0 && bounds.value) with.bound = reshape(slice(bounds, l, 1), {D});
    if (state) with.state = &(*state)[std::size_t(l)];
    inside.see("bound", with.bound.value);
    x = run_block(inside, l, std::move(x), with);
    if (state) with.state->steps += T;
  }
  common.recompute = {};  // the loss reads it at once
  const NormQuantized out = normalized_inputs(pass, std::move(x), norm_, {&lm_head_}, common);
  pass.see("model.output", out.sum.value);
  pass.see("lm_head.input", out.rows[0]);
  return out.rows[0];
}

Tensor Model::head(const Pass& pass, const QuantizedVar& x) {
  const QuantizedVar w = lm_head_.weight_var(pass.tape);
  pass.see("lm_head.weight", w);
  const Tensor y = ternary_product(x, w).value;
  pass.see("lm_head.output", y);
  return y;
}

Tensor Model::logits(const Pass& pass, const Tensor& ids, ModelState* state) {
  return head(pass, body(pass, ids, state));
}

Tensor Model::next_logits(const Pass& pass, const Tensor& ids, ModelState* state) {
  check(!pass.tape, "[Model] next_logits: expected no tape");
  QuantizedVar x = body(pass, ids, state);
  const Index B = ids.shape()[0], T = ids.shape()[1];
  x.codes.value = last_rows(x.codes.value, B, T);
  if (x.scale) x.scale = last_rows(x.scale, B, T);
  return head(pass, x);
}

CrossEntropyOutput Model::loss(const Pass& pass, const Tensor& ids, const Tensor& targets,
                               const Tensor& weight) {
  const QuantizedVar x = body(pass, ids, nullptr);
  const QuantizedVar w = lm_head_.weight_var(pass.tape);
  pass.see("lm_head.weight", w);
  return cross_entropy(x, w, targets.reshape({targets.elements()}), weight, options_.loss_rows);
}

void Model::advance(const Pass& pass, const Tensor& ids, ModelState& state) {
  body(pass, ids, &state);
}

TokenScores Model::score(const Pass& pass, const Tensor& ids, const Tensor& targets,
                         ModelState* state) {
  check(targets && targets.shape() == ids.shape(), "[Model] targets: expected ", ids.shape(),
        ", got ", targets);
  const QuantizedVar x = body(pass, ids, state);
  return token_scores(x, lm_head_.weight_var(pass.tape), targets.reshape({targets.elements()}),
                      options_.loss_rows);
}

ModelState select(const ModelState& state, std::span<const Index> sequences) {
  ModelState out(state.size());
  for (std::size_t l = 0; l < state.size(); ++l) {
    out[l].steps = state[l].steps;
    for (const Tensor& from : state[l].tensors) out[l].tensors.push_back(rows_of(from, sequences));
  }
  return out;
}

std::vector<std::vector<StateSpec>> Model::state_specs(Index batch, Index positions) const {
  const StateRequest request{
      .batch = batch, .positions = positions, .real = options_.dtype, .activations = activations()};
  std::vector<std::vector<StateSpec>> specs;
  for (const Block& block : blocks_) specs.push_back(block.token->state(request));
  return specs;
}

ModelState Model::new_state(Index batch, Index positions) {
  const auto specs = state_specs(batch, positions);
  ModelState state(specs.size());
  for (std::size_t l = 0; l < specs.size(); ++l)
    for (const StateSpec& spec : specs[l]) {
      state[l].tensors.emplace_back(backend(), spec.shape, spec.dtype);
      backend().fill(state[l].tensors.back(), 0);
    }
  return state;
}

}  // namespace tern
