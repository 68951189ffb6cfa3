// Checkpoints of tern: a training state as tensors and back, and the model in one.
// Weights carry their Hugging Face names, AdamW's moments the same behind "first_moment." and
// "second_moment.", and "tokenizer" holds the bytes of Tokenizer::file(): a checkpoint needs
// nothing beside it. An imported model's has no moments, and no tokenizer if the folder had none.
#pragma once

#include "data/checkpoint/writer.h"
#include "runtime/saved_model.h"
#include "runtime/trainer.h"
#include "runtime/training_state.h"

namespace tern {

// Everything a resumed run needs: the part of it that this rank writes. Views: trainer and
// tokenizer_file must outlive the save.
std::vector<TensorBytes> checkpoint_tensors(Trainer& trainer, const std::string& tokenizer_file);

// The tensor of Tokenizer::file(), which must outlive it.
TensorBytes tokenizer_tensor(const std::string& file);

// Weights, moments and the state beside them, from which a run goes on.
TrainingState load_training(const Checkpoint& checkpoint, Trainer& trainer);
// path: what Checkpoint::open takes, or a run directory (its newest good checkpoint).
// Fault::input with the reason if there is no good one.
Checkpoint open_checkpoint(const std::filesystem::path& path);

// config: of the checkpoint's run. Fault::input if its vocabulary and its tokenizer's are not of
// one size.
SavedModel saved_model(const Checkpoint& checkpoint, const RunConfig& config);

}  // namespace tern
