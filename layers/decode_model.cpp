#include "layers/decode_model.h"

#include <unordered_map>

namespace tern {
namespace {

class Parts {
 public:
  explicit Parts(const Model& model) {
    for (const Parameter* p : model.parameters()) parts_[p->name] = p;
  }
  const Parameter& operator[](const std::string& name) const { return *parts_.at(name); }
  DecodeMatrix matrix(const std::string& name) const {
    return {.weight = (*this)[name + ".weight"].copy, .norm = (*this)[name + ".norm.weight"].value};
  }

 private:
  std::unordered_map<std::string, const Parameter*> parts_{};
};

}  // namespace

std::optional<DecodeModel> decode_model(Model& model, const ModelState& state) {
  const ModelConfig& config = model.config();
  if (config.type != "matmulfree" || config.quantize != Quantize::ternary ||
      !config.use_output_gate || model.options().dtype != DType::f32)
    return std::nullopt;
  const Parts parts(model);
  const Tensor bounds = model.gate_bounds();
  DecodeModel out{.norm = parts["model.norm.weight"].value,
                  .head = parts.matrix("lm_head"),
                  .eps = config.rms_norm_eps};
  if (out.head.weight.t.dtype() != DType::t2) return std::nullopt;
  const Parameter& embeddings = parts["model.embeddings.weight"];
  out.table = embeddings.value ? embeddings.value : embeddings.table.q;
  out.row_scale = embeddings.table.row_scale;
  for (Index l = 0; l < config.layers; ++l) {
    const std::string block = "model.layers." + std::to_string(l) + '.';
    const Tensor& from = state[std::size_t(l)].tensors[0];
    const std::string token = block + "attn.", channel = block + "mlp.";
    out.layers.push_back({.token_norm = parts[block + "attn_norm.weight"].value,
                          .channel_norm = parts[block + "mlp_norm.weight"].value,
                          .i = parts.matrix(token + "i_proj"),
                          .f = parts.matrix(token + "f_proj"),
                          .g = parts.matrix(token + "g_proj"),
                          .o = parts.matrix(token + "o_proj"),
                          .gate = parts.matrix(channel + "gate_proj"),
                          .down = parts.matrix(channel + "down_proj"),
                          .g_norm = parts[token + "g_norm.weight"].value,
                          .bound = l > 0 && bounds ? bounds.slice(l, 1) : Tensor{},
                          .state = {from, Tensor(from.backend(), from.shape(), from.dtype())}});
  }
  return out;
}

}  // namespace tern
