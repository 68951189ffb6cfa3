// Small models with random weights, for the tests of the accelerator's specification.
#pragma once

#include "core/cpu/cpu_backend.h"
#include "core/rng.h"
#include "layers/decode_model.h"

namespace tern::rtl {

// Weights as functions of their names: the same in every type.
struct SmallModel {
  SmallModel(const ModelConfig& config, DType type)
      : model(config, {.dtype = type}), weights(cpu, model.parameters(), type, {}, DType::t2) {
    for (Parameter* p : model.parameters())
      weights.set(*p, [&](const Tensor& to) {
        const Rng rng(5, stream_of(p->name));
        std::vector<double> values;
        for (Index i = 0; i < p->shape.elements(); ++i) {
          const double x = rng.uniform(std::uint64_t(i)) - 0.5;
          values.push_back(double(float(p->shape.rank() == 1 ? 1 + 0.8 * x : x)));
        }
        upload_real(to, values);
      });
    state = model.new_state(1);
  }
  std::vector<double> logits(std::int32_t id) {
    return download_real(model.next_logits({}, upload_ids(cpu, {1, 1}, {id}), &state));
  }
  DecodeModel decode() { return *decode_model(model, state); }

  CpuBackend cpu{std::size_t(256) << 20};
  Model model;
  InferenceWeights weights;
  ModelState state{};
};

inline ModelConfig small_config(Index width, Index hidden, Index layers, Index vocabulary = 96,
                                bool bound = true) {
  return {.vocab_size = vocabulary,
          .width = width,
          .layers = layers,
          .explicit_glu_width = hidden,
          .use_lower_bound = bound};
}

}  // namespace tern::rtl
