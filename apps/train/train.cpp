#include "apps/train/train.h"

#include <fmt/format.h>

#include "apps/config/plan.h"
#include "apps/config/resolved.h"
#include "apps/run/environment.h"
#include "apps/run/quantities.h"
#include "apps/run/square_product.h"
#include "apps/train/banner.h"
#include "apps/train/resume.h"
#include "apps/train/training_run.h"

namespace tern {
namespace {

// The rate that plain products reach here: what "share of peak" is a share of. Takes a blink.
double measure_peak_flops(const Device& device) {
  const bool gpu = device.facts().traits.is_gpu();
  const Index n = gpu ? 8192 : 1024;
  const DType dtype = gpu ? DType::bf16 : DType::f32;
  const auto backend =
      make_backend(device, [&](Backend& on) { SquareProduct(on, dtype, n).seconds(); });
  const SquareProduct product(*backend, dtype, n);
  double best = product.seconds();
  for (int i = 1; i < 8; ++i) best = std::min(best, product.seconds());
  return product.flops() / best;
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

Environment environment_on(const Device& device, const std::vector<std::string>& command) {
  std::map<std::string, std::string> libraries = library_versions();
  const DeviceFacts& facts = device.facts();
  if (facts.traits.is_gpu()) {
    libraries["GPU"] = facts.name + ", " + facts.library;
    const std::string algorithms = device.algorithms_hash();
    libraries["measured algorithms"] = algorithms.empty() ? "none" : algorithms;
  }
  return describe_environment(command, libraries);
}

}  // namespace

void train(const TrainOptions& options) {
  const LoadedConfig loaded = load_config(options.config, options.overrides);
  const RunConfig& config = loaded.config;
  const Device device(options.device);
  const bool gpu = device.facts().traits.is_gpu();
  const Injection injection = Injection::parse(options.inject, gpu);
  TrainingData data(config);
  const MemoryPlan memory = choose_memory_plan(config, device);
  const Environment environment = environment_on(device, options.command);
  const RunDirectory directory(std::filesystem::path(config.run.directory) / config.run.name,
                               existing_for(options.resume, options.overwrite),
                               resolved_config(loaded));
  Console console(STDOUT_FILENO, directory.log());
  const auto start = find_start(options.resume, directory, console);
  if (start) {
    require_same_run(*start, config);
    require_same_data(*start, data);
    warn_of_other_algorithms(*start, device.algorithms_hash(), console);
    drop_metrics_after(directory.metrics(), std::int64_t(start->manifest().step));
  }
  directory.begin(resolved_config(loaded), environment);
  const RunParts parts{.loaded = loaded,
                       .directory = directory,
                       .console = console,
                       .data = data,
                       .device = device,
                       .memory = memory,
                       .peak_flops = measure_peak_flops(device),
                       .runs_ahead = options.runs_ahead.value_or(gpu),
                       .injection = injection};
  print_banner(parts, environment);
  const std::unique_ptr<Backend> backend = device.make_backend(memory.peak);
  Trainer trainer(*backend, config, memory.micro_batch);
  TrainingRun run(parts, trainer);
  if (start)
    go_on_from(*start, console, trainer, run);
  else
    start_fresh(config, console, trainer);
  run.run();
}

}  // namespace tern
