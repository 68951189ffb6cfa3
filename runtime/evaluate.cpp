#include "runtime/evaluate.h"

#include <algorithm>

#include "core/host.h"

namespace tern {

std::int64_t count_valid(std::span<const std::int32_t> targets) {
  return std::count_if(targets.begin(), targets.end(), [](auto t) { return t != kIgnoreIndex; });
}

LossSum evaluate(Model& model, const HostBatch& batch, Index context) {
  const Index sequences = Index(batch.inputs.size()) / context;
  check(sequences > 0 && sequences * context == Index(batch.inputs.size()) &&
            batch.targets.size() == batch.inputs.size(),
        "[evaluate] expected whole sequences of ", context, " tokens, got ", batch.inputs.size());
  Backend& on = model.backend();
  const Tensor inputs(on, {sequences, context}, DType::i32),
      targets(on, {sequences, context}, DType::i32);
  on.upload(inputs, batch.inputs.data());
  on.upload(targets, batch.targets.data());
  const Tensor weight(on, {1}, model.options().dtype);
  upload_real(weight, {1});
  const auto out = model.loss({}, inputs, targets, weight);
  return {.loss = download_real(out.loss.value)[0], .targets = count_valid(batch.targets)};
}

}  // namespace tern
