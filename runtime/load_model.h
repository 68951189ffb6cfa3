// A trained model for inference, from a checkpoint directory or the newest good one of a run.
#pragma once

#include <filesystem>
#include <memory>

#include "core/inference_weights.h"
#include "data/checkpoint/checkpoint.h"
#include "data/corpus/manifest.h"
#include "data/tokenizer/tokenizer.h"
#include "layers/model.h"
#include "runtime/device.h"
#include "runtime/run_config.h"

namespace tern {

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
