// A training state as the tensors of a checkpoint, and back. Weights carry their Hugging Face
// names, AdamW's moments the same behind "first_moment." and "second_moment.", and "tokenizer"
// holds the bytes of the tokenizer's model file: a checkpoint needs nothing beside it.
#pragma once

#include <string>
#include <vector>

#include "core/inference_weights.h"
#include "data/checkpoint/checkpoint.h"
#include "data/checkpoint/layout.h"
#include "runtime/trainer.h"

namespace tern {

// Everything a resumed run needs: the part of it that this rank writes. Views: trainer and
// tokenizer_model must outlive the save.
std::vector<TensorBytes> checkpoint_tensors(Trainer& trainer, const std::string& tokenizer_model);

// That all of a model's weights are there, and moments if they are wanted. Fault::input naming the
// first tensor that is missing, has another shape or is not real.
void require_weights(const Checkpoint& checkpoint, const Model& model, bool moments);

// What this rank holds. Fault::input naming the tensor if one is missing, has another shape or
// dtype.
void load_weights(const Checkpoint& checkpoint, ParameterPack& pack);
void load_weights(const Checkpoint& checkpoint, InferenceWeights& weights);
void load_moments(const Checkpoint& checkpoint, Trainer& trainer);
std::string load_tokenizer_model(const Checkpoint& checkpoint);

}  // namespace tern
