#include "apps/train/train.h"

#include <fmt/format.h>

#include "apps/config/plan.h"
#include "apps/config/resolved.h"
#include "apps/run/environment.h"
#include "apps/run/quantities.h"
#include "apps/train/banner.h"
#include "apps/train/resume.h"
#include "apps/train/training_run.h"
#include "core/cpu/cpu_backend.h"
#include "core/host.h"

namespace tern {
namespace {

// The rate that plain products reach here: what "share of peak" is a share of. Takes a blink.
double measure_peak_flops() {
  constexpr Index n = 1024;
  CpuBackend backend(16 << 20);
  const Tensor x(backend, {n, n}, DType::f32), w(backend, {n, n}, DType::f32),
      y(backend, {n, n}, DType::f32);
  for (const Tensor& t : {x, w}) backend.fill(t, 0.5);
  double best = 1e30;
  for (int i = 0; i < 8; ++i) {
    const double begin = monotonic_seconds();
    backend.run(Matmul{.y = y, .x = x, .w = w});
    best = std::min(best, monotonic_seconds() - begin);
  }
  return 2.0 * n * n * n / best;
}

void load_initial_weights(const InitFromSection& from, Trainer& trainer) {
  const Checkpoint checkpoint = Checkpoint::open(from.path);
  load_weights(checkpoint, trainer.model());
  if (!from.moments) return;
  load_moments(checkpoint, trainer);
  trainer.optimizer().set_adam_steps(training_state(checkpoint.manifest(), from.path).adam_steps);
}

void start_fresh(const RunConfig& config, Console& console, Trainer& trainer) {
  if (config.init_from.path.empty())
    trainer.model().initialize(std::uint64_t(config.run.seed));
  else
    load_initial_weights(config.init_from, trainer);
  console.say(config.init_from.path.empty()
                  ? fmt::format("starting with new weights, seed {}", config.run.seed)
                  : "starting from the weights of " + config.init_from.path);
}

void go_on_from(const Checkpoint& start, Console& console, Trainer& trainer, TrainingRun& run) {
  const TrainingState saved = training_state(start.manifest(), start.path().string());
  load_weights(start, trainer.model());
  load_moments(start, trainer);
  run.start_at(saved);
  console.say(fmt::format("resuming from {} (step {})", start.path().string(), saved.step));
}

}  // namespace

void train(const TrainOptions& options) {
  const LoadedConfig loaded = load_config(options.config, options.overrides);
  const RunConfig& config = loaded.config;
  TrainingData data(config);
  const MemoryPlan memory = choose_memory_plan(config, available_memory());
  const Environment environment = describe_environment(options.command, library_versions());
  const RunDirectory directory(std::filesystem::path(config.run.directory) / config.run.name,
                               existing_for(options.resume, options.overwrite),
                               resolved_config(loaded));
  Console console(STDOUT_FILENO, directory.log());
  const auto start = find_start(options.resume, directory, console);
  if (start) {
    require_same_run(*start, config);
    require_same_data(*start, data);
    drop_metrics_after(directory.metrics(), std::int64_t(start->manifest().step));
  }
  directory.begin(resolved_config(loaded), environment);
  const RunParts parts{.loaded = loaded,
                       .directory = directory,
                       .console = console,
                       .data = data,
                       .memory = memory,
                       .peak_flops = measure_peak_flops()};
  print_banner(parts, environment);
  CpuBackend backend(memory.peak);
  Trainer trainer(backend, config, memory.micro_batch);
  TrainingRun run(parts, trainer);
  if (start)
    go_on_from(*start, console, trainer, run);
  else
    start_fresh(config, console, trainer);
  run.run();
}

}  // namespace tern
