// Checkpoints of a model: a training state as tensors and back, and models loaded to be run.
// Weights carry their Hugging Face names, AdamW's moments the same behind "first_moment." and
// "second_moment.", and "tokenizer" holds the bytes of Tokenizer::file(): a checkpoint needs
// nothing beside it.
#pragma once

#include "core/parameter.h"
#include "data/checkpoint/checkpoint.h"
#include "data/checkpoint/writer.h"
#include "data/corpus/manifest.h"
#include "layers/model.h"
#include "runtime/device.h"
#include "runtime/run_config.h"
#include "runtime/trainer.h"
#include "runtime/training_state.h"

namespace tern {

// Everything a resumed run needs: the part of it that this rank writes. Views: trainer and
// tokenizer_file must outlive the save.
std::vector<TensorBytes> checkpoint_tensors(Trainer& trainer, const std::string& tokenizer_file);

// That all of a model's weights are there, and moments if they are wanted. Fault::input naming the
// first tensor that is missing, has another shape or is not real.
void require_weights(const Checkpoint& checkpoint, const Model& model, bool moments);

// What this rank holds. Fault::input naming the tensor if one is missing, has another shape or
// dtype.
void load_weights(const Checkpoint& checkpoint, ParameterPack& pack);
void load_weights(const Checkpoint& checkpoint, InferenceWeights& weights);
void load_moments(const Checkpoint& checkpoint, Trainer& trainer);
// Weights, moments and the state beside them, from which a run goes on.
TrainingState load_training(const Checkpoint& checkpoint, Trainer& trainer);
// config: of the checkpoint's run. Fault::input if their vocabularies are not of one size.
Tokenizer load_tokenizer(const Checkpoint& checkpoint, const RunConfig& config);

// A trained model for inference, from a checkpoint directory or the newest good one of a run.
struct LoadedModel {
  RunConfig config;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Model> model;
  std::unique_ptr<InferenceWeights> weights;  // of the model
  Tokenizer tokenizer;
  DocumentLayout documents;  // how those begin and end that it was trained on
};

// path: what Checkpoint::open takes, or a run directory (its newest good checkpoint).
// Fault::input with the reason if there is no good one.
Checkpoint open_checkpoint(const std::filesystem::path& path);

// config: of the checkpoint's run; use: what will be done with the model, rehearsed for its memory
LoadedModel load_model(const Checkpoint& checkpoint, const RunConfig& config, const Device& device,
                       const std::function<void(Model&)>& use);

}  // namespace tern
