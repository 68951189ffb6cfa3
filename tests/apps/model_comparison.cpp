#include "tests/apps/model_comparison.h"

#include <numeric>

#include "core/backend.h"
#include "runtime/training_data.h"

namespace tern::test {
namespace {

constexpr Index kTokensAtOnce = 4096;

// Of the positions that have a target.
void add(TextScores& to, const TokenScores& scores, std::span<const std::int32_t> targets) {
  const std::vector<double> losses = download_real(scores.losses);
  std::vector<std::int32_t> likeliest(losses.size());
  scores.likeliest.backend().download(likeliest.data(), scores.likeliest);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    if (targets[i] == kIgnoreIndex) continue;
    to.losses.push_back(losses[i]);
    to.likeliest.push_back(likeliest[i]);
  }
}

SequentialPass pass_of(const std::shared_ptr<Corpus>& corpus, Index context, Index sequences) {
  return {token_source(corpus, "text", 1), std::uint64_t(context), std::uint64_t(sequences)};
}

}  // namespace

TrainedForm::TrainedForm(const SavedModel& saved) : model(saved.config.model, {}) {
  cpu = std::make_unique<CpuBackend>(std::size_t(1) << 20);
  cpu->let_grow();
  pack = std::make_unique<ParameterPack>(*cpu, model.parameters());
  load_weights(saved.weights, *pack);
}

double TextScores::mean_loss() const {
  return std::accumulate(losses.begin(), losses.end(), 0.0) / double(losses.size());
}

TextScores scores_in_parallel(Model& model, const std::shared_ptr<Corpus>& corpus, Index context) {
  SequentialPass pass = pass_of(corpus, context, std::max<Index>(1, kTokensAtOnce / context));
  Backend& on = model.backend();
  TextScores all;
  while (const auto batch = pass.next()) {
    const Shape shape{Index(batch->samples.size()), context};
    const TokenScores scores = model.score({}, upload_ids(on, shape, batch->inputs),
                                           upload_ids(on, shape, batch->targets), nullptr);
    add(all, scores, batch->targets);
  }
  return all;
}

TextScores scores_by_token(Model& model, const std::shared_ptr<Corpus>& corpus, Index context) {
  SequentialPass pass = pass_of(corpus, context, 1);
  Backend& on = model.backend();
  TextScores all;
  while (const auto batch = pass.next()) {
    ModelState state = model.new_state(1, context);
    for (std::size_t t = 0; t < batch->inputs.size(); ++t) {
      const std::int32_t target = batch->targets[t];
      const TokenScores scores = model.score({}, upload_ids(on, {1, 1}, {batch->inputs[t]}),
                                             upload_ids(on, {1, 1}, {target}), &state);
      add(all, scores, {&target, 1});
    }
  }
  return all;
}

Index flips(const TextScores& a, const TextScores& b) {
  check(a.likeliest.size() == b.likeliest.size(), "[flips] expected scores of the same text");
  Index n = 0;
  for (std::size_t i = 0; i < a.likeliest.size(); ++i) n += a.likeliest[i] != b.likeliest[i];
  return n;
}

}  // namespace tern::test
