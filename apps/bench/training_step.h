// One real training step on random tokens, repeatable: forward, backward, AdamW, quantise.
#pragma once

#include "layers/model.h"
#include "optim/adamw.h"

namespace tern {

struct TrainingSize {
  Index width = 320, layers = 8, vocab = 32'000;  // D, L, V; H by the model's formula
  Index batch = 8, context = 256;                 // B, T
  ModelOptions options{};                         // number formats
  AdamWOptions optimizer{};
  ModelConfig model() const { return {.vocab_size = vocab, .width = width, .layers = layers}; }
  Index tokens() const { return batch * context; }
};

class TrainingStep {
 public:
  TrainingStep(Backend& backend, const TrainingSize& size);
  void initialize() { model_.initialize(1); }
  UpdateReport run();

 private:
  Backend& backend_;
  TrainingSize size_;
  Model model_;
  AdamWOptimizer optimizer_;
  std::vector<std::int32_t> ids_, targets_;  // (B, T)
};

// bytes of slab that TrainingStep needs, from a dry run
std::size_t training_bytes(const TrainingSize& size, const DeviceTraits& device = {});

}  // namespace tern
