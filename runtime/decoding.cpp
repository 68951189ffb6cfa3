#include "runtime/decoding.h"

#include "core/backend.h"
#include "layers/decode_model.h"

namespace tern {

Decoding::Decoding(Model& model, ModelState& state) : model_(model), state_(state) {
  const std::optional<DecodeModel> inside = decode_model(model, state);
  if (inside) step_ = model.backend().decode_step(*inside);
}

Tensor Decoding::next_logits(const Tensor& ids) {
  if (!step_) return model_.next_logits({}, ids, &state_);
  const Tensor logits(model_.backend(), {1, model_.config().vocab_size}, DType::f32);
  step_->run(logits, ids);
  for (LayerState& layer : state_) ++layer.steps;
  return logits;
}

}  // namespace tern
