#pragma once

#include <optional>

#include "core/decode_step.h"
#include "layers/model.h"

namespace tern {

// What a device needs to decode this model in one piece, from `state` to one of the same shape,
// which it makes, and back: a ternary MatMul-free model with an output gate, its codes at two bits,
// everything else in f32 (the embedding in bf16 or int8, too). nullopt: it is another one.
std::optional<DecodeModel> decode_model(Model& model, const ModelState& state);

}  // namespace tern
