#include "apps/train/training_run.h"

#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "apps/config/resolved.h"
#include "apps/console/terminal.h"
#include "apps/train/replicas.h"
#include "runtime/checkpoints.h"

namespace tern {
namespace {

RecoveryPolicy recovery_policy(const NumericsSection& n) {
  return {.skips_before_rewind = int(n.max_skipped),
          .rewinds_before_giving_up = int(n.max_rewinds)};
}

const RunDirectory* directory_of(const RankZero* rank_zero) {
  return rank_zero ? &rank_zero->directory : nullptr;
}

// Without what would start the run anew. A rank's own command line starts no run.
std::string how_to_resume(const OpenedRun& opened) {
  const std::vector<std::string>& command = opened.options.command;
  if (command.empty() || opened.info.size > 1)
    return "run the same command again to resume, without --overwrite";
  std::vector<std::string> line;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const std::string& word = command[i];
    i += word == "--resume";
    if (word != "--resume" && word != "--overwrite" && !word.starts_with("--resume="))
      line.push_back(word);
  }
  return "to resume, run: " + shell_command(line);
}

// The newest one before the bad steps, the last of which is `step`.
std::string newest_checkpoint(const RunDirectory& directory, const BadSteps& bad,
                              std::int64_t step) {
  const NewestGood newest =
      newest_of_course(directory.checkpoints(), std::uint64_t(bad.first_step - 1));
  require(newest.path.has_value(), Fault::diverged, "diverged at step ", step,
          " and no good checkpoint is left to go back to");
  return newest.path->string();
}

}  // namespace

TrainingRun::TrainingRun(OpenedRun& opened, RankZero* rank_zero, Trainer& trainer)
    : opened_(opened),
      rank_zero_(rank_zero),
      trainer_(trainer),
      steps_(total_steps(opened.config)),
      reports_(opened, rank_zero),
      recovery_(recovery_policy(opened.config.numerics)),
      saver_(opened, directory_of(rank_zero), reports_, recovery_),
      agreement_(opened, directory_of(rank_zero), reports_, saver_),
      validation_(opened, reports_, agreement_, trainer),
      samples_(opened, reports_, agreement_, trainer),
      launcher_(opened, trainer) {
  reports_.open();
  saver_.open();
  state_.tokenizer_hash = opened.data.tokenizer().hash();
  state_.data_content = opened.data.hashes();
  state_.documents = opened.data.layout();
  state_.algorithms = opened.device.algorithms_hash();
}

void TrainingRun::start_at(const TrainingState& state) {
  const DocumentLayout documents = state_.documents;
  state_ = state;
  state_.documents = documents;
  state_.algorithms = opened_.device.algorithms_hash();
  saver_.continue_from(state.step);
  reports_.started_at(state.step);
  recovery_ = RecoveryMachine(recovery_policy(opened_.config.numerics), state.skipped,
                              state.bad.in_a_row, state.bad.rewinds);
  trainer_.optimizer().set_adam_steps(state.adam_steps);
  opened_.data.seek(state.position);
}

void TrainingRun::start_adam_at(double steps) {
  state_.adam_steps = steps;
  trainer_.optimizer().set_adam_steps(steps);
}

void TrainingRun::note_changes(const RunConfig& before) {
  std::vector<Difference> changes = differences(before, opened_.config);
  std::erase_if(
      changes, [](const Difference& d) { return d.key == "run.name" || d.key == "run.directory"; });
  if (changes.empty()) return;
  std::string text = text_of(changes);
  const auto rate = [&](const RunConfig& config) {
    return config.optimizer.lr * learning_rate_schedule(config).at(state_.step);
  };
  if (state_.step < std::min(steps_, total_steps(before)) && rate(before) != rate(opened_.config))
    text += fmt::format("; learning rate of the next step was {:.2e}, is {:.2e}", rate(before),
                        rate(opened_.config));
  reports_.add(
      EventReport{.step = state_.step, .kind = "changed", .text = text, .changes = changes});
}

void TrainingRun::share_start() {
  if (opened_.info.size == 1) return;
  share_weights(opened_, trainer_);
  if (opened_.shards_saved()) return;  // each has read its own part
  const std::int64_t saved_step = saver_.saved_step();
  start_at(broadcast_state(opened_.control(), state_));
  saver_.continue_from(saved_step);
}

TrainingRun::Due TrainingRun::what_is_due() {
  const bool last = state_.step == steps_;
  const auto due = [&](std::int64_t interval) {
    return interval > 0 && state_.step % interval == 0;
  };
  const auto wanted = [&](std::int64_t interval) {
    return due(interval) || (last && interval > 0);
  };
  return {.validation = wanted(opened_.config.logging.validation_interval),
          .sample = wanted(opened_.config.logging.sample_interval),
          .save = agreement_.take_save_request() || saver_.postponed() ||
                  due(opened_.config.checkpoint.interval) ||
                  (opened_.config.checkpoint.before_decay &&
                   state_.step == decay_begin(opened_.config)),
          .replicas = due(opened_.config.parallel.replica_check)};
}

void TrainingRun::run() {
  try {
    train();
  } catch (...) {
    // The others hear it before this rank waits for its disk, here or when it is destroyed.
    const ExitNotice end = exit_notice_of(std::current_exception());
    if (end.fault != Fault::stopped && opened_.failure_detector())
      opened_.failure_detector()->announce_failure(end.fault, end.why);
    try {
      throw;
    } catch (const Error& error) {
      fail_with_last_good(error);
    }
  }
}

void TrainingRun::fail_with_last_good(const Error& error) {
  const bool says_it =
      error.fault == Fault::stopped || error.fault == Fault::diverged || error.fault == Fault::disk;
  if (says_it || !rank_zero_) throw error;
  FailureDetector* detector = opened_.failure_detector();
  if (detector) detector->finishing();
  saver_.wait_alone(state_.step);
  if (detector) detector->finishing(false);
  if (error.fault != Fault::internal) reports_.event(state_.step, "failure", error.what());
  fail(error.fault, error.what(), "; ", saver_.last_good(),
       saver_.saved_step() >= 0 ? ": run again" : "");
}

void TrainingRun::train() {
  reports_.warn_at_start();
  if (rank_zero_)
    for (const EventReport& report : rank_zero_->events) reports_.add(report);
  saver_.find_best();
  const bool fresh = opened_.control().all_gather_value(std::int32_t(saver_.saved_step() < 0))[0];
  if (fresh && opened_.config.logging.validation_interval > 0) validation_.run(state_);
  do {
    while (state_.step < steps_ &&
           !agreement_.stop_wanted(state_.step, longest_until_next_step())) {
      if (!train_step()) continue;
      saver_.poll(state_.step, false);
      const Due now = what_is_due();
      if (now.any() && !settle()) continue;
      if (now.replicas) check_replicas();
      if (now.validation) validation_.run(state_);
      if (now.sample) samples_.run(state_);
      if (now.save) saver_.save_or_postpone(trainer_, state_);
    }
  } while (!settle() && agreement_.stop().empty());
  if (opened_.failure_detector()) opened_.failure_detector()->finishing();
  saver_.save_last(trainer_, state_);
  finish();
}

void TrainingRun::finish() {
  const std::string& why = agreement_.stop();
  const bool stopped = state_.step < steps_;
  if (rank_zero_) {
    stopped ? report_end("stop", why) : report_end("finish", "finished");
    saver_.require_saved(state_.step);
  }
  opened_.control().all_gather({});  // rank 0 has saved what all of them end with
  if (stopped && !rank_zero_) throw Error(Fault::stopped, "");  // rank 0 says it
  require(!stopped, Fault::stopped, why, " after step ", state_.step, " of ", steps_, "; ",
          how_to_resume(opened_));
}

void TrainingRun::report_end(const std::string& kind, const std::string& outcome) {
  reports_.finish(kind, outcome, state_, saver_.path(),
                  trainer_.model().backend().pool().high_water());
}

double TrainingRun::longest_until_next_step() const {
  const std::int64_t every = opened_.config.logging.validation_interval, next = state_.step + 1;
  const bool validated = every > 0 && (next % every == 0 || next == steps_);
  return longest_step_ + (validated ? validation_.longest() : 0);
}

bool TrainingRun::train_step() {
  std::optional<LaunchedStep> before = std::exchange(launched_, launcher_.launch(state_));
  agreement_.set_busy_seconds(launched_->busy_seconds);
  if (before && !judge(*before)) {
    launched_.reset();  // started from weights that are gone
    return false;
  }
  return opened_.runs_ahead() || settle();
}

bool TrainingRun::settle() {
  const std::optional<LaunchedStep> last = std::exchange(launched_, std::nullopt);
  return !last || judge(*last);
}

bool TrainingRun::judge(const LaunchedStep& launched) {
  const UpdateReport update = [&] {
    const CollectiveScope scope(opened_.control());  // the device may be waiting for other ranks
    return launched.update.report();
  }();
  // All that a step takes lies between the two, and no pause: neither what the host does meanwhile
  // nor when it looks makes a step shorter or longer.
  const double seconds = launched.end->seconds_since(*launched.begin);
  longest_step_ = std::max(longest_step_, seconds);
  state_.adam_steps += update.applied;
  if (update.applied) state_.loss_mean.add(update.loss);
  reports_.pace().add_step(seconds, opened_.config.batch.tokens);
  reports_.diagnostics(launched.step, launched.diagnostics);
  reports_.step(launched, update, seconds, state_);
  keep_run();
  return handle_verdict(update, launched);
}

// What cannot be deleted of a replaced run stops no new one.
void TrainingRun::keep_run() {
  try {
    if (rank_zero_) rank_zero_->directory.keep();
  } catch (const Error& e) {
    reports_.event(state_.step, "warning", e.what());
  }
}

bool TrainingRun::handle_verdict(const UpdateReport& update, const LaunchedStep& launched) {
  const Recovery verdict = agreed_verdict(update);
  state_.skipped = recovery_.skipped();
  if (verdict == Recovery::apply) {
    state_.bad = {};
    return true;
  }
  if (state_.bad.first_step < 0) {
    state_.bad.first_step = launched.step;
    state_.bad.first_position = launched.first_sample;
  }
  std::vector<std::int64_t> samples(std::size_t(launched.next_sample - launched.first_sample));
  std::iota(samples.begin(), samples.end(), launched.first_sample);
  reports_.event(launched.step, "skip",
                 fmt::format("loss {} or gradient norm {} is not finite; no weight was changed",
                             update.loss, update.grad_norm),
                 samples);
  if (verdict == Recovery::give_up) give_up(launched.step);
  if (verdict == Recovery::rewind) rewind(launched.step);
  return verdict == Recovery::skip;
}

// Loss and norm are sums over all ranks, the same bits everywhere. What follows when they are not
// finite depends on what is on the disk, which rank 0 alone knows.
Recovery TrainingRun::agreed_verdict(const UpdateReport& update) {
  const Recovery own = recovery_.judge(std::isfinite(update.loss), std::isfinite(update.grad_norm),
                                       saver_.saved_step() >= 0);
  return own == Recovery::apply ? own : opened_.control().all_gather_value(own)[0];
}

void TrainingRun::give_up(std::int64_t step) {
  saver_.poll(state_.step, true);
  reports_.event(step, "give_up", "diverged");
  report_end("", "diverged");
  end_by_rank_zero(opened_.control(), Fault::diverged,
                   fmt::format("diverged at step {}: losses or gradients are not finite; {}: lower "
                               "optimizer.lr",
                               step, saver_.last_good()));
}

void TrainingRun::rewind(std::int64_t from) {
  ControlPlane& control = opened_.control();
  saver_.poll(state_.step, true);
  const std::string path = control.broadcast(
      rank_zero_ ? newest_checkpoint(rank_zero_->directory, state_.bad, from) : "");
  TrainingState saved;
  if (rank_zero_ || opened_.shards_saved()) saved = load_training(Checkpoint::open(path), trainer_);
  saved = broadcast_state(control, saved);
  share_weights(opened_, trainer_);
  const std::int64_t sequences = opened_.config.batch.tokens / opened_.config.batch.context;
  const std::int64_t past =
      state_.bad.first_position + opened_.config.numerics.skip_window * sequences;
  reports_.event(from, "rewind",
                 fmt::format("back to step {}, leaving out samples {} to {}", saved.step,
                             state_.bad.first_position, past - 1));
  if (rank_zero_) {
    const std::string abandoned =
        abandon_after(rank_zero_->directory.checkpoints(), std::uint64_t(saved.step));
    if (!abandoned.empty()) reports_.event(saved.step, "superseded", abandoned);
  }
  state_.step = saved.step;
  state_.adam_steps = saved.adam_steps;
  state_.loss_mean = saved.loss_mean;
  state_.position = past;
  state_.bad = {};
  state_.best_loss = saved.best_loss;
  state_.best_step = saved.best_step;
  state_.validation_loss = saved.validation_loss;
  saver_.continue_from(saved.step);
  saver_.find_best();
  trainer_.optimizer().set_adam_steps(saved.adam_steps);
  opened_.data.seek(past);
}

// Compares the tensors that every rank holds: copies of all matrices, rows of tokens, the rest.
void TrainingRun::check_replicas() {
  const Pause pause(reports_.pace());
  const std::string own = replica_hash(trainer_.pack());
  std::vector<std::string> all;
  for (const Bytes& b : opened_.control().all_gather(bytes_of(own))) all.push_back(text_of(b));
  const std::string odd = ranks_that_differ(all);
  if (odd.empty()) return;
  reports_.event(state_.step, "replicas_differ", odd);
  if (opened_.failure_detector()) opened_.failure_detector()->finishing();
  end_by_rank_zero(opened_.control(), Fault::communication,
                   fmt::format("after step {}: {}", state_.step, odd));
}

}  // namespace tern
