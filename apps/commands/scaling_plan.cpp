// tern scaling plan: a training run for an amount of FLOP or of hours on this machine.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "apps/bench/bench.h"
#include "apps/commands/command_line.h"
#include "apps/config/load.h"
#include "apps/config/schema.h"
#include "apps/plan/plan.h"
#include "apps/scaling/run_plan.h"
#include "data/io/files.h"
#include "runtime/quantities.h"
#include "runtime/training_data.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

struct PlanOptions {
  double flop = 0, hours = 0;
  fs::path data{}, fit{}, out{};
  std::string family{}, device = "cpu";
  std::vector<std::string> overrides{};
};

// FLOP/s of whole steps, measured: a few on random tokens, on a CPU of a batch that takes seconds.
double measured_speed(const Device& device, RunConfig config) {
  constexpr double kFlopOfAStep = 2e11;
  constexpr int kSteps = 3;
  const double per_token = flop_per_token(config.model, config.batch.context);
  if (!device.facts().traits.is_gpu()) {
    const double wanted = kFlopOfAStep / per_token / double(config.batch.context);
    const std::int64_t most = config.batch.tokens / config.batch.context;
    config.batch.tokens =
        std::clamp<std::int64_t>(std::int64_t(wanted), 1, most) * config.batch.context;
  }
  const MemoryPlan memory = choose_memory_plan(config, device);
  const auto backend = device.make_backend(memory.peak);
  TrainingStep step(*backend, config, memory.micro_batch);
  step.initialize();
  Samples times;
  for (int i = 0; i < kSteps + 2; ++i) {
    const double time = seconds([&] { step.run().report(); });
    if (i >= 2) times.add(time);
  }
  return per_token * double(config.batch.tokens) / times.median();
}

// What the plan leaves to the user: the data, the family, the context.
RunConfig base_config(const PlanOptions& o) {
  const std::string text = fmt::format(
      "[run]\nsteps = 1\n[model]\nhidden_size = 64\nnum_hidden_layers = 1\n[[data.source]]\npath = "
      "{}\n[optimizer]\nlr = 1e-3\n[batch]\ntokens = 2048\n",
      toml_string(o.data.string()));
  LoadedConfig loaded = parse_config(text, "scaling-plan", o.overrides);
  set_vocab_size(loaded, TrainingData(loaded.config).tokenizer().vocab_size(),
                 "the data's tokenizer");
  return loaded.config;
}

void plan(const PlanOptions& o) {
  require((o.flop > 0) != (o.hours > 0), Fault::usage,
          "scaling plan: expected --flop or --hours, got ", o.flop > 0 ? "both" : "none");
  require(o.family.empty() || !o.fit.empty(), Fault::usage,
          "scaling plan: expected --fit with --family, got none");
  if (!o.out.empty()) require_replaceable(o.out);
  const ScalingLaw law = o.fit.empty() ? published_law() : saved_law(o.fit, o.family);
  const Device device(o.device);
  const RunConfig base = base_config(o);
  const auto speed = [&](const RunConfig& config) { return measured_speed(device, config); };
  const RunPlan plan =
      o.flop > 0 ? plan_run(law, o.flop, base) : plan_time(law, o.hours * 3600, base, speed);
  const RunConfig& c = plan.config;
  const double rate = speed(c);
  const std::int64_t n = count_parameters(c.model).matrices();
  const double epochs =
      double(c.run.tokens) / double(std::max<std::int64_t>(1, TrainingData(c).token_counts()[0]));
  fmt::print(
      "law          {}, best division of {:.3g} FLOP: {} weights, {} tokens\n"
      "model        {}, D = {}, L = {}: {} weights in products, {} parameters\n"
      "length       {} tokens, {} steps of {}, {:.2g} epochs of the data\n"
      "rate         {} (a start: sweep it)\n"
      "loss         {:.3f} by the law, of its text and tokenizer\n"
      "FLOP         {:.3g}\n"
      "time         {} at {}FLOP/s, measured on {}\n",
      o.fit.empty() ? "published points" : o.fit.string(), plan.wanted.flop,
      with_prefix(plan.wanted.parameters), with_prefix(plan.wanted.tokens), c.model.type,
      c.model.width, c.model.layers, with_prefix(double(n)),
      with_prefix(double(count_parameters(c.model).total())), with_prefix(double(c.run.tokens)),
      total_steps(c), c.batch.tokens, epochs, c.optimizer.lr, plan.predicted_loss, plan.flop,
      duration_text(plan.flop / rate), with_prefix(rate), device.name());
  if (epochs > 4) fmt::print("warning      more than 4 epochs: more data would serve better\n");
  if (o.out.empty()) return;
  const std::string comment =
      fmt::format("# {:.3g} FLOP, {} on {}; by tern scaling plan. The rate is a start: sweep it.\n",
                  plan.flop, duration_text(plan.flop / rate), device.name());
  const std::string text = run_plan_toml(plan, comment);
  parse_config(text, o.out.string());  // what is written can be trained
  write_file_atomically(o.out, text);
  fmt::print("\ntern train {} --device {}\n", o.out.string(), device.name());
}

}  // namespace

void add_scaling_plan(CLI::App& scaling) {
  CLI::App& command = *scaling.add_subcommand(
      "plan", "Size, tokens, batch, rate and time of a run for so many FLOP or hours.");
  const auto o = std::make_shared<PlanOptions>();
  command.add_option("--flop", o->flop, "FLOP of the training")->check(CLI::Range(1e9, 1e30));
  command.add_option("--hours", o->hours, "or hours of this device")->check(CLI::Range(1e-3, 1e6));
  command.add_option("--data", o->data, "folder that tern prepare wrote")
      ->transform(path_argument())
      ->required();
  command.add_option("--device", o->device, "cpu, cuda or cuda:N: its speed is measured")
      ->capture_default_str();
  command
      .add_option("--fit", o->fit,
                  "JSON file of tern scaling fit: plan by its law, not by the published points")
      ->transform(path_argument());
  command.add_option("--family", o->family, "which family of that file");
  add_settings(command, o->overrides);
  command.add_option("--out", o->out, "write the run's configuration to this file")
      ->transform(path_argument());
  command.callback([o] { plan(*o); });
}

}  // namespace tern
