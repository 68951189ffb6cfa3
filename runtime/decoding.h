#pragma once

#include "core/decode_step.h"
#include "layers/model.h"

namespace tern {

// Sequences that go on token by token: all at once by the device's DecodeStep, where it has one for
// this model and number of sequences, else layer by layer.
class Decoding {
 public:
  // state: of B sequences. Both must outlive this; the state's tensors may not be replaced by
  // others meanwhile.
  Decoding(Model& model, ModelState& state);

  // Reads ids (B, 1) i32 into the state -> logits (B, V) of what follows.
  Tensor next_logits(const Tensor& ids);

 private:
  Model& model_;
  ModelState& state_;
  std::unique_ptr<DecodeStep> step_{};  // or null
};

}  // namespace tern
