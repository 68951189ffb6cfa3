#include "apps/train/training_reports.h"

#include <fmt/format.h>

#include <numeric>

#include "apps/console/terminal.h"

namespace tern {

TrainingReports::TrainingReports(OpenedRun& opened, RankZero* rank_zero)
    : opened_(opened),
      rank_zero_(rank_zero),
      steps_(total_steps(opened.config)),
      memory_limit_(double(opened.device.available_memory() + opened.memory.peak)) {}

void TrainingReports::open() {
  if (!rank_zero_) return;
  record_.emplace(rank_zero_->directory, rank_zero_->console, opened_.config.logging.tensorboard);
  if (!opened_.on_gpu()) return;
  gpu_monitor_.emplace(opened_.device.facts().pci);
  if (!gpu_monitor_->problem().empty())
    rank_zero_->console.say("no utilisation, power, temperature and clock of the GPU in the log: " +
                            gpu_monitor_->problem());
}

void TrainingReports::event(std::int64_t step, const std::string& kind, const std::string& text,
                            const std::vector<std::int64_t>& samples) {
  add(EventReport{.step = step, .kind = kind, .text = text, .samples = samples});
}

void TrainingReports::live(std::string_view activity) {
  if (rank_zero_) rank_zero_->console.live(activity);
}

void TrainingReports::warn_at_start() {
  const RunConfig& config = opened_.config;
  const std::int64_t validated = config.logging.validation_interval,
                     saved = config.checkpoint.interval;
  if (!rank_zero_ || validated == 0) return;
  if (opened_.data.validation().empty())
    return rank_zero_->console.warn(fmt::format(
        "logging.validation_interval is {}, but no source has a validation part: nothing will be "
        "validated. Prepare the data with --validation, set data.source.0.validation, or set the "
        "interval to 0",
        validated));
  const bool within = validated < steps_ && saved > 0 && saved < steps_;
  if (config.checkpoint.keep_best && within && std::lcm(validated, saved) >= steps_)
    rank_zero_->console.warn(fmt::format(
        "no step before the last is both validated (every {}) and saved (every {}): "
        "checkpoint.keep_best has nothing to choose from. Make checkpoint.interval a multiple of "
        "logging.validation_interval",
        validated, saved));
}

void TrainingReports::diagnostics(std::int64_t step, const StepDiagnostics& diagnostics) {
  DiagnosticsReport report{.step = step, .tokens = opened_.tokens(step)};
  double zeros = 0, flips = 0;
  for (const TernaryStats& w : diagnostics.weights) {
    const auto of_layer = [&](const std::map<std::string, double>& values) {
      const auto found = values.find(w.name);
      return found == values.end() ? kUnknown : found->second;
    };
    report.layers.push_back({.name = w.name,
                             .flip_rate = w.flip_rate,
                             .zero_share = w.zero_share,
                             .scale = w.scale,
                             .activation_absmax = of_layer(diagnostics.activation_absmax),
                             .fp8_underflow = of_layer(diagnostics.fp8_underflow)});
    zeros += w.zero_share * double(w.elements);
    flips += w.flip_rate * double(w.elements);
  }
  if (report.layers.empty()) return;  // none were due, or not a ternary model
  const double all = double(count_parameters(opened_.config.model).matrices());
  zero_share_ = zeros / all;
  flip_rate_ = flips / all;
  add(report);
}

void TrainingReports::step(const LaunchedStep& launched, const UpdateReport& update, double seconds,
                           const TrainingState& state) {
  if (!record_) return;
  if (!std::exchange(stepped_, true))
    record_->note({.step = launched.step, .kind = "start", .text = "the first step of a process"});
  const RunConfig& config = opened_.config;
  const double rate = pace_.tokens_per_second();
  const std::int64_t every = config.logging.interval;
  const bool recorded =
      every > 0 && (launched.step % every == 0 || launched.step == 1 || launched.step == steps_);
  if (recorded && gpu_monitor_) gpu_ = gpu_monitor_->mean_since_last_time();
  const double peak_flops = rank_zero_->peak_flops * opened_.info.size;
  record_->step({.step = launched.step,
                 .steps = steps_,
                 .tokens = opened_.tokens(launched.step),
                 .loss = update.loss,
                 .loss_mean = state.loss_mean.value(),
                 .learning_rate = launched.learning_rate,
                 .gradient_norm = update.grad_norm,
                 .clipped = config.optimizer.clip > 0 && update.grad_norm > config.optimizer.clip,
                 .tokens_per_second = rate,
                 .step_seconds = seconds,
                 .data_seconds = launched.data_seconds,
                 .share_of_peak = rate * double(gemm_flop_per_token(config.model)) / peak_flops,
                 .memory_bytes = double(opened_.memory.peak),
                 .memory_limit_bytes = memory_limit_,
                 .seconds_left =
                     launched.step < steps_ ? pace_.seconds_left(steps_ - launched.step) : kUnknown,
                 .skipped = state.skipped,
                 .zero_share = zero_share_,
                 .flip_rate = flip_rate_,
                 .gpu = gpu_},
                recorded);
}

void TrainingReports::finish(const std::string& kind, const std::string& outcome,
                             const TrainingState& state, const std::string& checkpoint,
                             std::size_t peak_memory) {
  if (!record_) return;
  if (!kind.empty()) record_->note({.step = state.step, .kind = kind, .text = outcome});
  record_->finish(summary(outcome, state, checkpoint, peak_memory));
}

RunSummary TrainingReports::summary(const std::string& outcome, const TrainingState& state,
                                    const std::string& checkpoint, std::size_t peak_memory) const {
  const RunDirectory& directory = rank_zero_->directory;
  RunSummary s{.outcome = started_step_ < steps_
                              ? outcome
                              : fmt::format("nothing to train: {} of {} steps were done before",
                                            started_step_, steps_),
               .step = state.step,
               .steps = steps_,
               .tokens = opened_.tokens(state.step),
               .started = started_step_,
               .wall_seconds = monotonic_seconds() - started_,
               .training_seconds = pace_.training_seconds(),
               .tokens_per_second = pace_.mean_tokens_per_second(),
               .best_validation_loss = state.best_loss,
               .best_step = state.best_step,
               .peak_memory_bytes = double(peak_memory),
               .skipped = state.skipped,
               .files = {directory.metrics().string(), directory.picture().string()}};
  if (!checkpoint.empty()) {
    s.files.push_back(checkpoint);
    s.next_commands = next_commands(checkpoint);
  }
  return s;
}

// With the program's path as it was called, to be pasted into a shell.
std::vector<std::string> TrainingReports::next_commands(const std::string& checkpoint) const {
  const std::vector<std::string>& command = opened_.options.command;
  const std::string program = command.empty() ? "tern" : command[0];
  std::string prompt = "Once upon";
  for (const std::string& sampled : opened_.config.logging.sample_prompts)
    if (!sampled.empty()) {
      prompt = sampled;
      break;
    }
  const std::vector<std::string> lines[] = {
      {program, "generate", "--checkpoint", checkpoint, "--prompt", prompt, "-n", "200"},
      {program, "inspect", checkpoint, "--verify"},
      {program, "plot", rank_zero_->directory.path().string()}};
  std::vector<std::string> out;
  for (const std::vector<std::string>& line : lines) out.push_back(shell_command(line));
  return out;
}

}  // namespace tern
