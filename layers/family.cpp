#include "layers/family.h"

#include "core/check.h"
#include "layers/cumulative_mean.h"
#include "layers/mixers.h"
#include "layers/transformer.h"

namespace tern {
namespace {

template <class T>
std::unique_ptr<Mixer> make(const ModelConfig& config) {
  return std::make_unique<T>(config);
}

constexpr Family kFamilies[] = {
    {.type = "matmulfree",
     .embeddings = "embeddings",
     .token_norm = "attn_norm",
     .token_mixer = "attn",
     .channel_norm = "mlp_norm",
     .channel_mixer = "mlp",
     .make_token_mixer = make<MlgruMixer>,
     .make_channel_mixer = make<Glu>,
     .output_gate = true,
     .lower_bounds = true,
     .joint_glu = true},
    // Transformer++, the control model: Llama's shape and names
    {.type = "transformer",
     .embeddings = "embed_tokens",
     .token_norm = "input_layernorm",
     .token_mixer = "self_attn",
     .channel_norm = "post_attention_layernorm",
     .channel_mixer = "mlp",
     .make_token_mixer = make<AttentionMixer>,
     .make_channel_mixer = make<SwigluMixer>,
     .attention = true,
     .dense_norms = false},
    // the example of docs/adding_a_mixer.md
    {.type = "cumulative_mean",
     .embeddings = "embeddings",
     .token_norm = "mixer_norm",
     .token_mixer = "mixer",
     .channel_norm = "mlp_norm",
     .channel_mixer = "mlp",
     .make_token_mixer = make<CumulativeMean>,
     .make_channel_mixer = make<Glu>,
     .joint_glu = true},
};

}  // namespace

std::span<const Family> families() {
  return kFamilies;
}

const Family& family_of(std::string_view type) {
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.type == type) return family;
    known += (known.empty() ? "\"" : ", \"") + std::string(family.type) + '"';
  }
  fail(Fault::usage, "[model] type: expected one of ", known, ", got \"", type, '"');
}

}  // namespace tern
