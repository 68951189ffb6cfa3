// What a training run tells: steps, diagnostics, validation, samples, summary.
#include <fmt/format.h>

#include <cmath>
#include <numeric>
#include <utility>

#include "apps/console/text.h"
#include "apps/train/training_run.h"

namespace tern {

void TrainingRun::report_step(const UpdateReport& update, const Launched& launched,
                              double step_seconds) {
  const double rate = pace_.tokens_per_second();
  const std::int64_t every = config_.logging.interval;
  const bool recorded =
      every > 0 && (launched.step % every == 0 || launched.step == 1 || launched.step == steps_);
  if (recorded && gpu_monitor_) gpu_ = gpu_monitor_->mean_since_last_time();
  StepReport r{.step = launched.step,
               .steps = steps_,
               .tokens = tokens(launched.step),
               .loss = update.loss,
               .loss_mean = state_.loss_mean.value(),
               .learning_rate = config_.optimizer.lr * rate_.at(launched.step - 1),
               .gradient_norm = update.grad_norm,
               .clipped = config_.optimizer.clip > 0 && update.grad_norm > config_.optimizer.clip,
               .tokens_per_second = rate,
               .step_seconds = step_seconds,
               .data_seconds = launched.data_seconds,
               .share_of_peak = rate * double(gemm_flop_per_token(config_.model)) /
                                (parts_.peak_flops * parts_.ranks.size()),
               .memory_bytes = double(parts_.memory.peak),
               .memory_limit_bytes = memory_limit_,
               .seconds_left =
                   launched.step < steps_ ? pace_.seconds_left(steps_ - launched.step) : kUnknown,
               .skipped = state_.skipped,
               .zero_share = zero_share_,
               .flip_rate = flip_rate_,
               .gpu = gpu_};
  if (record_) record_->step(r, recorded);
}

void TrainingRun::report_diagnostics(std::int64_t step, const StepDiagnostics& diagnostics) {
  DiagnosticsReport report{.step = step, .tokens = tokens(step)};
  double zeros = 0, flips = 0;
  for (const TernaryStats& w : diagnostics.weights) {
    const auto absmax = diagnostics.activation_absmax.find(w.name);
    report.layers.push_back({.name = w.name,
                             .flip_rate = w.flip_rate,
                             .zero_share = w.zero_share,
                             .scale = w.scale,
                             .activation_absmax = absmax == diagnostics.activation_absmax.end()
                                                      ? kUnknown
                                                      : absmax->second});
    zeros += w.zero_share * double(w.elements);
    flips += w.flip_rate * double(w.elements);
  }
  if (report.layers.empty()) return;  // none were due, or not a ternary model
  const double all = double(count_parameters(config_.model).matrices());
  zero_share_ = zeros / all;
  flip_rate_ = flips / all;
  record(report);
}

// What was asked for and cannot happen.
void TrainingRun::warn_at_start() {
  const std::int64_t validated = config_.logging.validation_interval,
                     saved = config_.checkpoint.interval;
  if (validated == 0) return;
  if (parts_.data.validation().empty())
    return parts_.console.warn(fmt::format(
        "logging.validation_interval is {}, but no source has a validation part: nothing will be "
        "validated. Prepare the data with --validation, set data.source.0.validation, or set the "
        "interval to 0",
        validated));
  const bool within = validated < steps_ && saved > 0 && saved < steps_;
  if (config_.checkpoint.keep_best && within && std::lcm(validated, saved) >= steps_)
    parts_.console.warn(fmt::format(
        "no step before the last is both validated (every {}) and saved (every {}): "
        "checkpoint.keep_best has nothing to choose from. Make checkpoint.interval a multiple of "
        "logging.validation_interval",
        validated, saved));
}

// All ranks read the same batches and evaluate them in turn; before each round they agree to go on.
bool TrainingRun::validate(const ValidationSet& set, LossSum& sum) {
  SequentialPass pass = parts_.data.pass(set, parts_.memory.micro_batch);
  double begin = monotonic_seconds();
  std::string why;
  for (int turn = 0; const auto batch = pass.next(); ++turn) {
    if (turn % parts_.ranks.size() == 0) {
      if (turn > 0) longest_batch_ = std::max(longest_batch_, monotonic_seconds() - begin);
      if (stop_wanted(why, longest_batch_)) return false;
      begin = monotonic_seconds();
    }
    if (turn % parts_.ranks.size() != parts_.ranks.rank()) continue;
    sum += evaluate(trainer_.model(), {batch->inputs, batch->targets}, config_.batch.context);
    sum.bytes += set.bytes->of(*batch);
  }
  const LossSum own = std::exchange(sum, {});
  for (const LossSum& part : parts_.ranks.agree_on(own)) sum += part;
  return true;
}

void TrainingRun::validate() {
  const Pause pause(pace_);
  parts_.console.live("validating");
  const double begin = monotonic_seconds();
  ValidationReport report{.step = state_.step, .tokens = tokens(state_.step)};
  double loss = 0, bytes = 0;
  std::int64_t targets = 0;
  for (const ValidationSet& set : parts_.data.validation()) {
    LossSum sum;
    if (!validate(set, sum))
      return event(state_.step, "validation_stopped", "the run stops: there is no result");
    report.sources.emplace_back(set.name, sum.loss / double(sum.targets));
    loss += sum.loss;
    targets += sum.targets;
    bytes += double(sum.bytes);
  }
  if (targets == 0) return;  // no source has a validation part
  report.loss = loss / double(targets);
  report.bits_per_byte = bytes > 0 ? loss / std::log(2.0) / bytes : kUnknown;
  report.seconds = monotonic_seconds() - begin;
  longest_validation_ = std::max(longest_validation_, report.seconds);
  if (std::isfinite(report.loss)) state_.validation_loss = report.loss;
  report.best = std::isfinite(report.loss) && !(state_.best_loss <= report.loss);
  if (report.best) {
    state_.best_loss = report.loss;
    state_.best_step = state_.step;
  }
  if (report.sources.size() == 1) report.sources.clear();
  record(report);
}

// By rank 0; before each prompt all agree to go on.
void TrainingRun::sample() {
  const Pause pause(pace_);
  parts_.console.live("writing samples");
  int index = 0;
  std::string why;
  for (const std::string& prompt : config_.logging.sample_prompts) {
    if (stop_wanted(why, longest_sample_)) break;
    if (!record_ || prompt_ids(parts_.data.tokenizer(), state_.documents, prompt).empty())
      continue;  // nothing to begin with
    const double begin = monotonic_seconds();
    const std::optional<std::string> text = sample_text(prompt);
    if (!text) continue;
    record(SampleReport{.step = state_.step,
                        .tokens = tokens(state_.step),
                        .index = index++,
                        .prompt = prompt,
                        .text = *text});
    longest_sample_ = std::max(longest_sample_, monotonic_seconds() - begin);
  }
}

// Nothing, and an event, if the logits are not finite: a sample does not decide whether training
// goes on.
std::optional<std::string> TrainingRun::sample_text(const std::string& prompt) {
  Generator generator(trainer_.model(),
                      {.temperature = 0.8,
                       .top_k = 50,
                       .seed = std::uint64_t(config_.run.seed) + std::uint64_t(state_.step)});
  std::string text;
  try {
    continue_text(generator, parts_.data.tokenizer(), state_.documents, prompt,
                  config_.logging.sample_tokens, [&](const std::string& part) { text += part; });
  } catch (const Error& e) {
    if (e.fault != Fault::diverged) throw;
    event(state_.step, "sample", e.what());
    return std::nullopt;
  }
  return text;
}

void TrainingRun::event(std::int64_t step, const std::string& kind, const std::string& text,
                        const std::vector<std::int64_t>& samples) {
  record(EventReport{.step = step, .kind = kind, .text = text, .samples = samples});
}

// With the program's path as it was called, to be pasted into a shell.
std::vector<std::string> TrainingRun::next_commands(const std::string& checkpoint) const {
  const std::string program = parts_.command.empty() ? "tern" : parts_.command[0];
  std::string prompt = "Once upon";
  for (const std::string& sampled : config_.logging.sample_prompts)
    if (!sampled.empty()) {
      prompt = sampled;
      break;
    }
  const std::vector<std::string> lines[] = {
      {program, "generate", "--checkpoint", checkpoint, "--prompt", prompt, "-n", "200"},
      {program, "inspect", checkpoint, "--verify"},
      {program, "plot", parts_.directory->path().string()}};
  std::vector<std::string> out;
  for (const std::vector<std::string>& line : lines) out.push_back(shell_command(line));
  return out;
}

// Without what would start the run anew. A rank's own command line starts no run.
std::string TrainingRun::how_to_resume() const {
  if (parts_.command.empty() || parts_.ranks.size() > 1)
    return "run the same command again to resume, without --overwrite";
  std::vector<std::string> line;
  for (std::size_t i = 0; i < parts_.command.size(); ++i) {
    const std::string& word = parts_.command[i];
    i += word == "--resume";
    if (word != "--resume" && word != "--overwrite" && !word.starts_with("--resume="))
      line.push_back(word);
  }
  return "to resume, run: " + shell_command(line);
}

RunSummary TrainingRun::summary(const std::string& outcome) const {
  const std::string last =
      saved_step_ >= 0
          ? (parts_.directory->checkpoints() / checkpoint_name(std::uint64_t(saved_step_))).string()
          : "";
  RunSummary s{
      .outcome = started_step_ < steps_
                     ? outcome
                     : fmt::format("nothing to train: {} of {} steps were done before",
                                   started_step_, steps_),
      .step = state_.step,
      .steps = steps_,
      .tokens = tokens(state_.step),
      .started = started_step_,
      .wall_seconds = monotonic_seconds() - started_,
      .training_seconds = pace_.training_seconds(),
      .tokens_per_second = pace_.mean_tokens_per_second(),
      .best_validation_loss = state_.best_loss,
      .best_step = state_.best_step,
      .peak_memory_bytes = double(trainer_.model().backend().pool().high_water()),
      .skipped = state_.skipped,
      .files = {parts_.directory->metrics().string(), parts_.directory->picture().string()}};
  if (!last.empty()) {
    s.files.push_back(last);
    s.next_commands = next_commands(last);
  }
  return s;
}

}  // namespace tern
