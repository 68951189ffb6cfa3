#include "apps/train/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "apps/config/resolved.h"
#include "apps/run/printable.h"
#include "apps/run/quantities.h"
#include "apps/run/time_limit.h"
#include "apps/version.h"

namespace tern {
namespace {

CheckpointOptions checkpoint_options(const RunParts& parts) {
  const CheckpointSection& c = parts.loaded.config.checkpoint;
  return {.directory = parts.directory->checkpoints(),
          .retention = {.keep_last = std::uint64_t(c.keep_last),
                        .keep_every = std::uint64_t(c.keep_every)},
          .version = std::string(version())};
}

RecoveryPolicy recovery_policy(const NumericsSection& n) {
  return {.skips_before_rewind = int(n.max_skipped),
          .rewinds_before_giving_up = int(n.max_rewinds)};
}

}  // namespace

TrainingRun::TrainingRun(const RunParts& parts, Trainer& trainer)
    : config_(parts.loaded.config),
      parts_(parts),
      trainer_(trainer),
      recovery_(recovery_policy(config_.numerics)),
      pace_(monotonic_seconds()),
      rate_(learning_rate_schedule(config_)),
      decay_(weight_decay_schedule(config_)),
      steps_(total_steps(config_)),
      memory_limit_(double(parts.device.available_memory() + parts.memory.peak)) {
  if (parts.directory) {
    record_.emplace(*parts.directory, parts.console);
    writer_.emplace(checkpoint_options(parts));
  }
  state_.tokenizer_hash = parts.data.tokenizer().hash();
  state_.data_hashes = parts.data.hashes();
  state_.algorithms = parts.device.algorithms_hash();
}

void TrainingRun::start_at(const TrainingState& state) {
  state_ = state;
  state_.algorithms = parts_.device.algorithms_hash();
  saved_step_ = started_step_ = state.step;
  recovery_ = RecoveryMachine(recovery_policy(config_.numerics), state.skipped);
  trainer_.optimizer().set_adam_steps(state.adam_steps);
  parts_.data.seek(state.position);
}

bool TrainingRun::due(std::int64_t interval) const {
  return interval > 0 && state_.step % interval == 0;
}

TrainingRun::Due TrainingRun::what_is_due() {
  const bool last = state_.step == steps_;
  const auto wanted = [&](std::int64_t interval) {
    return due(interval) || (last && interval > 0);
  };
  return {.validation = wanted(config_.logging.validation_interval),
          .sample = wanted(config_.logging.sample_interval),
          .save = std::exchange(save_asked_, false) || due(config_.checkpoint.interval)};
}

void TrainingRun::run() {
  try {
    train();
  } catch (const Error& error) {
    fail_with_last_good(error);
  }
}

void TrainingRun::fail_with_last_good(const Error& error) {
  const bool says_it =
      error.fault == Fault::stopped || error.fault == Fault::diverged || error.fault == Fault::disk;
  if (says_it || !record_) throw error;
  if (parts_.ranks.watch()) parts_.ranks.watch()->finishing();
  collect(writer_->wait());
  if (error.fault != Fault::internal) event(state_.step, "failure", error.what());
  fail(error.fault, error.what(), "; ", last_good(), saved_step_ >= 0 ? ": run again" : "");
}

void TrainingRun::train() {
  std::string why;
  if (state_.step == 0 && config_.logging.validation_interval > 0) validate();
  do {
    while (state_.step < steps_ && !stop_wanted(why)) {
      if (!train_step()) continue;
      if (writer_) collect(writer_->poll());
      const Due now = what_is_due();
      if (now.any() && !settle()) continue;
      if (now.validation) validate();
      if (now.sample) sample();
      if (now.save) save();
    }
  } while (!settle() && why.empty());
  if (parts_.ranks.watch()) parts_.ranks.watch()->finishing();
  if (writer_) {
    collect(writer_->wait());  // the last step may be on its way to the disk
    if (state_.step != saved_step_) save();
    collect(writer_->wait());
  }
  finish(why);
}

void TrainingRun::finish(const std::string& why) {
  const bool stopped = state_.step < steps_;
  if (record_) {
    event(state_.step, stopped ? "stop" : "finish", stopped ? why : "finished");
    record_->finish(summary(stopped ? why : "finished"));
    require(recovery_.healthy(), Fault::diverged, "the last updates before step ", state_.step,
            " were skipped, losses or gradients are not finite: ", last_good());
    require(saved_step_ == state_.step, Fault::disk,
            "the last checkpoint could not be saved: ", save_problem_);
  }
  parts_.ranks.agree({});  // rank 0 has saved what all of them end with
  if (stopped && !record_) throw Error(Fault::stopped, "");  // rank 0 says it
  require(!stopped, Fault::stopped, why, " after step ", state_.step, " of ", steps_,
          "; the same command goes on from there");
}

std::string TrainingRun::last_good() const {
  return saved_step_ >= 0 ? fmt::format("the last good checkpoint is of step {}", saved_step_)
                          : "there is no checkpoint";
}

bool TrainingRun::train_step() {
  std::optional<Launched> before = std::exchange(launched_, launch());
  if (before && !judge(*before)) {
    launched_.reset();  // started from weights that are gone
    return false;
  }
  return parts_.runs_ahead || settle();
}

bool TrainingRun::settle() {
  const std::optional<Launched> last = std::exchange(launched_, std::nullopt);
  return !last || judge(*last);
}

TrainingRun::Launched TrainingRun::launch() {
  const double begin = monotonic_seconds();
  TrainingBatch batch = parts_.data.next();
  parts_.injection.apply(parts_.ranks.rank(), state_.step + 1, batch.inputs);
  const double data_seconds = monotonic_seconds() - begin;
  const double waited = parts_.ranks.seconds_waited();
  StepDiagnostics inside;
  const std::int64_t every = config_.logging.diagnostics_interval;
  const bool diagnose = every > 0 && (state_.step + 1) % every == 0;
  PendingUpdate update = trainer_.step(
      own_share(batch),
      loss_weight(batch.targets) * parts_.injection.factor(parts_.ranks.rank(), state_.step + 1),
      config_.optimizer.lr * rate_.at(state_.step),
      config_.optimizer.weight_decay * decay_.at(state_.step), diagnose ? &inside : nullptr);
  busy_seconds_ = monotonic_seconds() - begin - (parts_.ranks.seconds_waited() - waited);
  ++state_.step;
  state_.position = batch.next_position;
  return {.update = std::move(update),
          .step = state_.step,
          .position = batch.position,
          .samples = std::move(batch.samples),
          .diagnostics = std::move(inside),
          .begin = begin,
          .data_seconds = data_seconds};
}

UpdateReport TrainingRun::report_of(const PendingUpdate& update) {
  const Turn turn(parts_.ranks);  // the device may be waiting for other ranks
  return update.report();
}

bool TrainingRun::judge(const Launched& launched) {
  const UpdateReport update = report_of(launched.update);
  const double end = monotonic_seconds(), seconds = end - std::max(launched.begin, last_end_);
  last_end_ = end;
  longest_step_ = std::max(longest_step_, seconds);
  state_.adam_steps += update.applied;
  pace_.step(end, config_.batch.tokens);
  report_diagnostics(launched.step, launched.diagnostics);
  report_step(update, launched, seconds);
  return handle_verdict(update, launched);
}

bool TrainingRun::handle_verdict(const UpdateReport& update, const Launched& launched) {
  const Recovery verdict = agreed_verdict(update);
  state_.skipped = recovery_.skipped();
  if (verdict == Recovery::apply) {
    first_bad_position_ = -1;
    return true;
  }
  if (first_bad_position_ < 0) first_bad_position_ = launched.position;
  event(launched.step, "skip",
        fmt::format("step {}: loss {} or gradient norm {} is not finite; no weight was changed",
                    launched.step, update.loss, update.grad_norm),
        launched.samples);
  if (verdict == Recovery::rewind) rewind(launched.step);
  if (verdict != Recovery::give_up) return verdict == Recovery::skip;
  if (!record_) parts_.ranks.agree({});  // rank 0 says why it ends, and ends us
  collect(writer_->wait());
  event(launched.step, "give_up", "diverged");
  record_->finish(summary("diverged"));
  fail(Fault::diverged, "diverged at step ", launched.step,
       ": losses or gradients are not finite; ", last_good(), ": lower optimizer.lr");
}

// On rank 0.
TrainingState TrainingRun::restore_newest(std::int64_t from) {
  collect(writer_->wait());
  const NewestGood newest = newest_good(parts_.directory->checkpoints());
  require(newest.path.has_value(), Fault::diverged, "diverged at step ", from,
          " and no good checkpoint is left to go back to");
  const Checkpoint checkpoint = Checkpoint::open(*newest.path);
  load_weights(checkpoint, trainer_.model());
  load_moments(checkpoint, trainer_);
  return training_state(checkpoint.manifest(), newest.path->string());
}

void TrainingRun::rewind(std::int64_t from) {
  TrainingState saved;
  if (record_) saved = restore_newest(from);
  saved = from_first(saved);
  share_weights();
  const std::int64_t sequences = config_.batch.tokens / config_.batch.context;
  const std::int64_t past = first_bad_position_ + config_.numerics.skip_window * sequences;
  event(from, "rewind",
        fmt::format("back to step {}, leaving out samples {} to {}", saved.step,
                    first_bad_position_, past - 1));
  state_.step = saved_step_ = saved.step;
  state_.adam_steps = saved.adam_steps;
  state_.position = past;
  first_bad_position_ = -1;
  trainer_.optimizer().set_adam_steps(saved.adam_steps);
  parts_.data.seek(past);
}

void TrainingRun::save() {
  if (!writer_ || !recovery_.healthy()) return;  // the weights themselves may be what is wrong
  const auto tensors = checkpoint_tensors(trainer_, parts_.data.tokenizer().model(), staging_);
  const CheckpointFacts facts{.step = std::uint64_t(state_.step),
                              .tokens = std::uint64_t(tokens(state_.step)),
                              .parameters = std::uint64_t(count_parameters(config_.model).total()),
                              .config = {{"toml", resolved_config(parts_.loaded)}},
                              .state = to_json(state_)};
  save_stall_ = writer_->save(facts, tensors);
  collect(writer_->poll());
  pace_.pause(monotonic_seconds());
}

void TrainingRun::collect(const std::vector<SaveResult>& finished) {
  for (const SaveResult& save : finished) {
    record(CheckpointReport{.step = std::int64_t(save.step),
                            .tokens = tokens(std::int64_t(save.step)),
                            .path = save.path.string(),
                            .problem = save.error,
                            .bytes = std::int64_t(save.bytes),
                            .seconds = save.seconds,
                            .stall_seconds = save_stall_});
    if (!save.warning.empty()) event(state_.step, "warning", save.warning);
    longest_save_ = std::max(longest_save_, save.seconds);
    if (save.error.empty()) {
      saved_step_ = std::int64_t(save.step);
      recovery_.checkpoint_written();
    } else {
      save_problem_ = save.error;
      require(!config_.checkpoint.required, Fault::disk, save.error);
    }
  }
}

}  // namespace tern
