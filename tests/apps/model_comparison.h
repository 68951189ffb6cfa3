// Two forms of one model on the same text: what packing, and reading token by token, change.
#pragma once

#include "core/cpu/cpu_backend.h"
#include "data/corpus/corpus.h"
#include "runtime/saved_model.h"

namespace tern::test {

// A model as training holds it: latent weights, and codes of a byte that are made from them.
struct TrainedForm {
  explicit TrainedForm(const SavedModel& saved);
  std::unique_ptr<CpuBackend> cpu;
  Model model;
  std::unique_ptr<ParameterPack> pack;
};

// Of each position of a text, in order.
struct TextScores {
  std::vector<double> losses{};           // nats
  std::vector<std::int32_t> likeliest{};  // tokens
  double mean_loss() const;
};

// All of a corpus, in sequences of `context` tokens that begin with a zero state.
// in_parallel: sequences whole, several at once, as training and `tern eval` read them.
TextScores scores_in_parallel(Model& model, const std::shared_ptr<Corpus>& corpus, Index context);
// Each token alone, on the state that the ones before it left, as `tern generate` does.
TextScores scores_by_token(Model& model, const std::shared_ptr<Corpus>& corpus, Index context);

// Positions whose likeliest tokens differ.
Index flips(const TextScores& a, const TextScores& b);

}  // namespace tern::test
