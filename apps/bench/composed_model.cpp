#include "apps/bench/composed_model.h"

#include <map>

#include "core/backend.h"

namespace tern {
namespace {

// a ternary matrix as real numbers (O, I) of this dtype
Var ternary_values(const Var& w, DType real) {
  Backend& on = w.value.backend();
  const QuantizedVar t = quantize_ternary(w);
  const Tensor ones(on, {w.value.shape()[0]}, w.value.dtype());
  on.fill(ones, 1);
  const Tensor scales = multiply({ones}, {t.scale}).value;  // the one scale, for each row
  return dequantize({.codes = t.codes, .scale = scales, .real = real});
}

Var rounded_rows(const Var& x, const Var& norm, double eps) {
  return dequantize(quantize_rows(rms_norm(x, norm, eps)));
}

class ComposedModel {
 public:
  ComposedModel(Tape& tape, const Model& model) : config_(model.config()), tape_(tape) {
    for (Parameter* p : model.parameters()) parameters_[p->name] = p;
  }

  CrossEntropyOutput loss(const Model& model, const Tensor& ids, const Tensor& targets,
                          const Tensor& weight) {
    const auto [B, T] = dims<2>(ids, "[composed_loss] ids (B, T)");
    const Shape steps{B, T, config_.width}, rows{B * T, config_.width};
    Var x =
        embedding(parameter("model.embeddings.weight"), ids.reshape({B * T}), model.activations());
    const Var bounds = gate_bounds();
    for (Index l = 0; l < config_.layers; ++l) {
      layer_ = "model.layers." + std::to_string(l) + ".";
      const Var u = normalized(x, "attn_norm");
      Var bound{};
      if (l > 0 && bounds.value) bound = reshape(slice(bounds, l, 1), {config_.width});
      const Var h = mlgru(reshape(project(u, "attn.f_proj"), steps),
                          reshape(project(u, "attn.i_proj"), steps), bound)
                        .h;
      const Var gate = normalized(project(u, "attn.g_proj"), "attn.g_norm");
      x = add(x, project(multiply(gate, silu(reshape(h, rows))), "attn.o_proj"));
      const Var ab = project(normalized(x, "mlp_norm"), "mlp.gate_proj");
      x = add(x, project(swiglu(ab), "mlp.down_proj"));
    }
    const Var last = rms_norm(x, parameter("model.norm.weight"), config_.rms_norm_eps);
    const Var head = rounded_rows(last, parameter("lm_head.norm.weight"), config_.rms_norm_eps);
    return cross_entropy({.codes = head},
                         {.codes = ternary_values(parameter("lm_head.weight"), x.value.dtype())},
                         targets.reshape({B * T}), weight, model.options().loss_rows);
  }

 private:
  Var parameter(const std::string& name) { return leaf(&tape_, *parameters_.at(name)); }
  Var normalized(const Var& x, const std::string& name) {
    return rms_norm(x, parameter(layer_ + name + ".weight"), config_.rms_norm_eps);
  }
  Var project(const Var& x, const std::string& name) {
    return composed_bit_linear(x, parameter(layer_ + name + ".norm.weight"),
                               parameter(layer_ + name + ".weight"), config_.rms_norm_eps);
  }
  Var gate_bounds() {
    if (!config_.use_lower_bound) return {};
    const Var shares = cumsum(softmax(parameter("model.lower_bounds"), 0), 0);
    return subtract(shares, reshape(slice(shares, 0, 1), {config_.width}));
  }

  const ModelConfig& config_;
  Tape& tape_;
  std::map<std::string, Parameter*> parameters_{};
  std::string layer_{};
};

}  // namespace

Var composed_bit_linear(const Var& x, const Var& norm, const Var& w, double eps) {
  const Var rows = rounded_rows(x, norm, eps);
  return matmul(rows, ternary_values(w, x.value.dtype()));
}

Var composed_loss(Tape& tape, const Model& model, const Tensor& ids, const Tensor& targets,
                  const Tensor& weight) {
  check(model.config().type == "matmulfree" && model.config().quantize == Quantize::ternary,
        "[composed_loss] expected a ternary MatMul-free model, got ", model.config().type);
  return ComposedModel(tape, model).loss(model, ids, targets, weight).loss;
}

}  // namespace tern
