// A model small enough for a test, its batches, and one training step of it.
#pragma once

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"
#include "core/parameter_pack.h"
#include "core/rng.h"
#include "layers/model.h"
#include "optim/adamw.h"

namespace tern {

// Odd sizes: no dimension is a multiple of a vector register.
inline ModelConfig tiny_config() {
  return {.vocab_size = 29, .width = 21, .layers = 3, .explicit_glu_width = 35};
}

// A model and the weights that train it.
struct TrainableModel {
  explicit TrainableModel(Backend& on, const ModelOptions& options = {},
                          const ModelConfig& config = tiny_config(),
                          std::optional<DType> gradients = {})
      : model(config, options),
        pack(on, model.parameters(),
             {.dtype = options.dtype, .gradients = gradients, .table = options.residual}) {}
  Model model;
  ParameterPack pack;
};

// B sequences of T tokens and what follows each token
struct TinyBatch {
  Index B = 0, T = 0;
  std::vector<std::int32_t> ids{}, targets{};

  // sequences [first, first + count)
  TinyBatch part(Index first, Index count) const {
    const auto cut = [&](const std::vector<std::int32_t>& v) {
      return std::vector(v.begin() + first * T, v.begin() + (first + count) * T);
    };
    return {count, T, cut(ids), cut(targets)};
  }
};

// Text that can be learned: each token is a fixed function of the last, with some noise.
inline TinyBatch tiny_batch(Index B, Index T, std::int64_t vocab, std::uint64_t seed = 5) {
  TinyBatch batch{B, T, {}, {}};
  const Rng rng(seed, stream_of("tokens"));
  for (Index b = 0; b < B; ++b) {
    std::int64_t token = std::int64_t(rng.bits(b) % vocab);
    for (Index t = 0; t < T; ++t) {
      batch.ids.push_back(std::int32_t(token));
      const std::uint64_t noise = rng.bits(B + b * T + t);
      token = noise % 8 == 0 ? std::int64_t(noise / 8 % vocab) : (7 * token + 3) % vocab;
      batch.targets.push_back(std::int32_t(token));
    }
  }
  return batch;
}

// Adds the gradients of the batch to the parameters; returns its share of the loss.
// weight: 1 / number of targets of the whole step.
inline Tensor forward_and_backward(Model& model, const TinyBatch& batch, double weight) {
  Backend& on = model.backend();
  const Tensor w(on, {1}, model.options().dtype);
  upload_real(w, {weight});
  const Shape shape{batch.B, batch.T};
  Tape tape;
  const Var loss = model
                       .loss({.tape = &tape}, upload_ids(on, shape, batch.ids),
                             upload_ids(on, shape, batch.targets), w)
                       .loss;
  const Tensor value = loss.value;
  tape.backward(loss);
  return value;
}

// One optimizer step over the batch cut into micro-batches of `sequences`.
inline UpdateReport train_step(Model& model, AdamWOptimizer& adam, const TinyBatch& batch,
                               double rate, double decay, Index sequences, bool count = false) {
  adam.begin_step(rate, decay);
  for (Index b = 0; b < batch.B; b += sequences)
    adam.add_loss(forward_and_backward(model, batch.part(b, std::min(sequences, batch.B - b)),
                                       1 / double(batch.B * batch.T)));
  return adam.step(count).report();
}

}  // namespace tern
