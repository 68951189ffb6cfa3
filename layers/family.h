// The model families: which mixers a block has, and what its parts are called in files. A new
// family is a row of the table in family.cpp; the key model.type and Hugging Face's model_type name
// it.
#pragma once

#include "layers/mixer.h"
#include "layers/model_config.h"

namespace tern {

struct Family {
  std::string_view type;  // "hgrn_bit"
  // names behind "model.layers.N."
  std::string_view token_norm, token_mixer, channel_norm, channel_mixer;
  std::unique_ptr<Mixer> (*make_token_mixer)(const ModelConfig&);
  std::unique_ptr<Mixer> (*make_channel_mixer)(const ModelConfig&);
  bool lower_bounds;  // token mixers read a learned bound of each layer (use_lower_bound)
};

std::span<const Family> families();
// Fault::usage naming the known ones if there is none of this type
const Family& family_of(std::string_view type);

}  // namespace tern
