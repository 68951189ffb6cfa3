#include "apps/config/plan.h"

#include <algorithm>

#include "core/check.h"

namespace tern {

namespace {

// Kept at the end of the run: the last few, the best, and those at multiples of keep_every that are
// older.
std::int64_t most_checkpoints(const RunConfig& config, std::int64_t steps) {
  const CheckpointSection& checkpoint = config.checkpoint;
  const bool best = checkpoint.keep_best && config.logging.validation_interval > 0;
  const std::int64_t saved =
      checkpoint.interval > 0 ? (steps + checkpoint.interval - 1) / checkpoint.interval : 1;
  const std::int64_t for_good = checkpoint.keep_every > 0 ? steps / checkpoint.keep_every : 0;
  return std::min(saved, checkpoint.keep_last + 1 + best + for_good);
}

std::vector<SourcePlan> plan_sources(const std::vector<DataSource>& sources,
                                     const std::vector<std::int64_t>& tokens, double total) {
  double weights = 0;
  for (const DataSource& source : sources) weights += source.weight;
  std::vector<SourcePlan> plans;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const double share = sources[i].weight / weights;
    const double epochs = tokens[i] > 0 ? share * total / double(tokens[i]) : 0;
    plans.push_back({sources[i].path, tokens[i], share, epochs});
  }
  return plans;
}

}  // namespace

Plan make_plan(const RunConfig& config, const std::vector<std::int64_t>& source_tokens) {
  check(source_tokens.size() == config.data.sources.size(), "[plan] token counts: expected ",
        config.data.sources.size(), ", got ", source_tokens.size());
  Plan plan;
  plan.parameters = count_parameters(config.model);
  plan.gemm_flop_per_token = gemm_flop_per_token(config.model);
  plan.tokens_per_step = config.batch.tokens;
  plan.sequences_per_step = config.batch.tokens / config.batch.context;
  plan.steps = total_steps(config);
  plan.tokens = plan.steps * plan.tokens_per_step;
  plan.gemm_flop_total = double(plan.gemm_flop_per_token) * double(plan.tokens);
  plan.sources = plan_sources(config.data.sources, source_tokens, double(plan.tokens));

  const StateBytes state = state_bytes(config);
  plan.parameter_bytes = state.parameters;
  plan.gradient_bytes = state.gradients;
  plan.moment_bytes = state.moments;
  plan.checkpoint_bytes = plan.parameter_bytes + plan.moment_bytes;
  plan.checkpoints = most_checkpoints(config, plan.steps);
  plan.disk_bytes = double(plan.checkpoints) * double(plan.checkpoint_bytes);
  return plan;
}

}  // namespace tern
