#include "apps/bench/training_step.h"

#include "core/rng.h"

namespace tern {
namespace {

constexpr double kRate = 1e-3, kDecay = 0.1;

std::vector<std::int32_t> random_tokens(const RunConfig& config, const char* stream) {
  const Rng rng(1, stream_of(stream));
  std::vector<std::int32_t> ids(std::size_t(config.batch.tokens));
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] = std::int32_t(rng.uniform(i) * double(config.model.vocab_size));
  return ids;
}

}  // namespace

TrainingStep::TrainingStep(Backend& backend, const RunConfig& config, Index micro_batch)
    : trainer_(backend, config, micro_batch),
      ids_(random_tokens(config, "ids")),
      targets_(random_tokens(config, "targets")) {}

PendingUpdate TrainingStep::run() {
  return trainer_.step({ids_, targets_}, loss_weight(targets_), kRate, kDecay);
}

}  // namespace tern
