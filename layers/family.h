// The model families: which mixers a block has, and what its parts are called in files. A new
// family is a row of the table in family.cpp; the key model.type names it.
#pragma once

#include "layers/mixer.h"
#include "layers/model_config.h"

namespace tern {

struct Family {
  std::string_view type;        // "matmulfree"
  std::string_view embeddings;  // names behind "model."
  // names behind "model.layers.N."
  std::string_view token_norm, token_mixer, channel_norm, channel_mixer;
  std::unique_ptr<Mixer> (*make_token_mixer)(const ModelConfig&);
  std::unique_ptr<Mixer> (*make_channel_mixer)(const ModelConfig&);
  bool output_gate = false;   // the token mixer's output is gated (use_output_gate)
  bool lower_bounds = false;  // token mixers read a learned bound of each layer (use_lower_bound)
  bool attention = false;   // token mixers have heads (num_attention_heads, rope_theta, attention)
  bool joint_glu = false;   // gate and candidate are one ternary matrix
  bool dense_norms = true;  // projections have norms of their own even if they are not quantised
};

std::span<const Family> families();
// Fault::usage naming the known ones if there is none of this type
const Family& family_of(std::string_view type);

}  // namespace tern
