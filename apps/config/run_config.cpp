#include "apps/config/run_config.h"

namespace tern {

std::int64_t total_steps(const RunConfig& config) {
  const std::int64_t batch = config.batch.tokens;
  return config.run.steps > 0 ? config.run.steps : (config.run.tokens + batch - 1) / batch;
}

Schedule learning_rate_schedule(const RunConfig& config) {
  return make_schedule(config.schedule, total_steps(config));
}

Schedule weight_decay_schedule(const RunConfig& config) {
  return make_schedule(config.weight_decay_schedule, total_steps(config));
}

}  // namespace tern
