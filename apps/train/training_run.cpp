#include "apps/train/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "apps/config/resolved.h"
#include "apps/console/text.h"
#include "apps/run/pace.h"
#include "apps/train/course.h"
#include "apps/version.h"
#include "runtime/quantities.h"
#include "runtime/training_state.h"

namespace tern {
namespace {

CheckpointOptions checkpoint_options(const RunParts& parts) {
  const CheckpointSection& c = parts.loaded.config.checkpoint;
  const RunSection& run = parts.loaded.config.run;
  const bool together = parts.shards_saved;
  return {.directory = parts.directory
                           ? parts.directory->checkpoints()
                           : std::filesystem::path(run.directory) / run.name / "checkpoints",
          .retention = {.keep_last = std::uint64_t(c.keep_last),
                        .keep_every = std::uint64_t(c.keep_every)},
          .version = std::string(version()),
          .rank = together ? parts.ranks.rank() : 0,
          .world = together ? parts.ranks.size() : 1,
          .free_memory = [writers = together ? parts.on_machine : 1] {
            return free_host_memory(writers);
          }};
}

RecoveryPolicy recovery_policy(const NumericsSection& n) {
  return {.skips_before_rewind = int(n.max_skipped),
          .rewinds_before_giving_up = int(n.max_rewinds)};
}

// In the last parameter, which all ranks hold: a bit that changes it by a hundredth or so.
void flip_bit(const ParameterPack& pack) {
  const Tensor first = pack.parameters().back()->value.slice(0, 1);
  std::vector<std::byte> bytes(first.bytes());
  first.backend().download(bytes.data(), first);
  bytes[bytes.size() - 2] ^= std::byte(1);
  first.backend().upload(first, bytes.data());
}

}  // namespace

TrainingRun::TrainingRun(const RunParts& parts, Trainer& trainer)
    : config_(parts.loaded.config),
      parts_(parts),
      trainer_(trainer),
      recovery_(recovery_policy(config_.numerics)),
      rate_(learning_rate_schedule(config_)),
      decay_(weight_decay_schedule(config_)),
      steps_(total_steps(config_)),
      memory_limit_(double(parts.device.available_memory() + parts.memory.peak)) {
  if (parts.directory) record_.emplace(*parts.directory, parts.console);
  if (parts.directory || parts.shards_saved) writer_.emplace(checkpoint_options(parts));
  state_.tokenizer_hash = parts.data.tokenizer().hash();
  state_.data_content = parts.data.hashes();
  state_.documents = parts.data.layout();
  state_.algorithms = parts.device.algorithms_hash();
  if (record_ && parts.device.facts().traits.is_gpu())
    gpu_monitor_.emplace(parts.device.facts().pci);
  if (gpu_monitor_ && !gpu_monitor_->problem().empty())
    parts.console.say("no utilisation, power, temperature and clock of the GPU in the log: " +
                      gpu_monitor_->problem());
}

void TrainingRun::start_at(const TrainingState& state) {
  const DocumentLayout documents = state_.documents;
  state_ = state;
  state_.documents = documents;
  state_.algorithms = parts_.device.algorithms_hash();
  saved_step_ = started_step_ = state.step;
  recovery_ = RecoveryMachine(recovery_policy(config_.numerics), state.skipped, state.bad.in_a_row,
                              state.bad.rewinds);
  trainer_.optimizer().set_adam_steps(state.adam_steps);
  parts_.data.seek(state.position);
}

void TrainingRun::note_changes(const RunConfig& before) {
  std::vector<Difference> changes = differences(before, config_);
  std::erase_if(
      changes, [](const Difference& d) { return d.key == "run.name" || d.key == "run.directory"; });
  if (changes.empty()) return;
  std::string text = text_of(changes);
  const auto rate = [&](const RunConfig& config) {
    return config.optimizer.lr * learning_rate_schedule(config).at(state_.step);
  };
  if (state_.step < std::min(steps_, total_steps(before)) && rate(before) != rate(config_))
    text += fmt::format("; learning rate of the next step was {:.2e}, is {:.2e}", rate(before),
                        rate(config_));
  record(EventReport{.step = state_.step, .kind = "changed", .text = text, .changes = changes});
}

void TrainingRun::start_adam_at(double steps) {
  state_.adam_steps = steps;
  trainer_.optimizer().set_adam_steps(steps);
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
          .save = std::exchange(save_asked_, false) || save_postponed_ ||
                  due(config_.checkpoint.interval),
          .replicas = due(config_.parallel.replica_check)};
}

void TrainingRun::run() {
  try {
    train();
  } catch (...) {
    // The others hear it before this rank waits for its disk, here or when it is destroyed.
    const ExitNotice end = exit_notice_of(std::current_exception());
    if (end.fault != Fault::stopped && parts_.ranks.failure_detector())
      parts_.ranks.failure_detector()->announce_failure(end.fault, end.why);
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
  if (says_it || !record_) throw error;
  if (parts_.ranks.failure_detector()) parts_.ranks.failure_detector()->finishing();
  const std::vector<SaveResult> last = writer_->wait();
  if (!parts_.shards_saved) collect(last);  // of a shard the others would have to know
  if (parts_.ranks.failure_detector()) parts_.ranks.failure_detector()->finishing(false);
  if (error.fault != Fault::internal) event(state_.step, "failure", error.what());
  fail(error.fault, error.what(), "; ", last_good(), saved_step_ >= 0 ? ": run again" : "");
}

void TrainingRun::train() {
  std::string why;
  warn_at_start();
  for (const EventReport& report : parts_.events) record(report);
  find_best();
  const bool fresh = parts_.ranks.agree_on(std::int32_t(saved_step_ < 0))[0];
  if (fresh && config_.logging.validation_interval > 0) validate();
  do {
    while (state_.step < steps_ && !stop_wanted(why, longest_until_next_step())) {
      if (!train_step()) continue;
      poll_saves(false);
      const Due now = what_is_due();
      if (now.any() && !settle()) continue;
      if (now.replicas) check_replicas();
      if (now.validation) validate();
      if (now.sample) sample();
      if (now.save) save_or_postpone();
    }
  } while (!settle() && why.empty());
  if (parts_.ranks.failure_detector()) parts_.ranks.failure_detector()->finishing();
  poll_saves(true);  // the last step may be on its way to the disk
  if (writer_ && state_.step != saved_step_) {
    broken_ = !recovery_.healthy() && !finite_tensors();
    if (!broken_) save();
  }
  poll_saves(true);
  finish(why);
}

void TrainingRun::finish(const std::string& why) {
  const bool stopped = state_.step < steps_;
  if (record_) {
    const std::string outcome = stopped ? why : "finished";
    record_->note({.step = state_.step, .kind = stopped ? "stop" : "finish", .text = outcome});
    record_->finish(summary(outcome));
    require(!broken_, Fault::diverged, "the last updates before step ", state_.step,
            " were skipped, weights or moments are not finite: ", last_good());
    require(saved_step_ == state_.step, Fault::disk,
            "the last checkpoint could not be saved: ", save_problem_);
  }
  parts_.ranks.agree({});  // rank 0 has saved what all of them end with
  if (stopped && !record_) throw Error(Fault::stopped, "");  // rank 0 says it
  require(!stopped, Fault::stopped, why, " after step ", state_.step, " of ", steps_, "; ",
          how_to_resume());
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
  Backend& on = trainer_.model().backend();
  std::unique_ptr<Timestamp> device_begin = on.timestamp();
  const double begin = monotonic_seconds();
  TrainingBatch batch = parts_.data.next();
  parts_.injection.apply(parts_.ranks.rank(), state_.step + 1, batch.inputs);
  if (parts_.injection.flips(parts_.ranks.rank(), state_.step + 1)) flip_bit(trainer_.pack());
  const double data_seconds = monotonic_seconds() - begin;
  const double waited = parts_.ranks.seconds_waited();
  const DeviceWork work(parts_.ranks, on.pool());
  if (parts_.injection.hangs(parts_.ranks.rank(), state_.step + 1)) on.hang();
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
  state_.validation_loss = kUnknown;
  state_.position = batch.next_position;
  return {.update = std::move(update),
          .step = state_.step,
          .position = batch.position,
          .samples = std::move(batch.samples),
          .diagnostics = std::move(inside),
          .begin = std::move(device_begin),
          .end = on.timestamp(),
          .data_seconds = data_seconds};
}

// What cannot be deleted of a replaced run stops no new one.
void TrainingRun::keep_run() {
  try {
    if (parts_.directory) parts_.directory->keep();
  } catch (const Error& e) {
    event(state_.step, "warning", e.what());
  }
}

UpdateReport TrainingRun::report_of(const PendingUpdate& update) {
  const CollectiveScope scope(parts_.ranks);  // the device may be waiting for other ranks
  return update.report();
}

bool TrainingRun::judge(const Launched& launched) {
  const UpdateReport update = report_of(launched.update);
  // All that a step takes lies between the two, and no pause: neither what the host does meanwhile
  // nor when it looks makes a step shorter or longer.
  const double seconds = launched.end->seconds_since(*launched.begin);
  longest_step_ = std::max(longest_step_, seconds);
  state_.adam_steps += update.applied;
  if (update.applied) state_.loss_mean.add(update.loss);
  pace_.add_step(seconds, config_.batch.tokens);
  report_diagnostics(launched.step, launched.diagnostics);
  report_step(update, launched, seconds);
  keep_run();
  return handle_verdict(update, launched);
}

bool TrainingRun::handle_verdict(const UpdateReport& update, const Launched& launched) {
  const Recovery verdict = agreed_verdict(update);
  state_.skipped = recovery_.skipped();
  if (verdict == Recovery::apply) {
    state_.bad = {};
    return true;
  }
  if (state_.bad.first_step < 0) {
    state_.bad.first_step = launched.step;
    state_.bad.first_position = launched.position;
  }
  event(launched.step, "skip",
        fmt::format("loss {} or gradient norm {} is not finite; no weight was changed", update.loss,
                    update.grad_norm),
        launched.samples);
  if (verdict == Recovery::rewind) rewind(launched.step);
  if (verdict != Recovery::give_up) return verdict == Recovery::skip;
  poll_saves(true);
  event(launched.step, "give_up", "diverged");
  if (record_) record_->finish(summary("diverged"));
  end_with_first(Fault::diverged,
                 fmt::format("diverged at step {}: losses or gradients are not finite; {}: lower "
                             "optimizer.lr",
                             launched.step, last_good()));
}

// What all ranks know, and rank 0 says.
void TrainingRun::end_with_first(Fault fault, const std::string& why) {
  if (!record_) parts_.ranks.agree({});  // rank 0 ends us
  fail(fault, why);
}

std::filesystem::path TrainingRun::newest_checkpoint(std::int64_t from) const {
  const NewestGood newest =
      newest_of_course(parts_.directory->checkpoints(), std::uint64_t(state_.bad.first_step - 1));
  require(newest.path.has_value(), Fault::diverged, "diverged at step ", from,
          " and no good checkpoint is left to go back to");
  return *newest.path;
}

TrainingState TrainingRun::restore(const std::filesystem::path& path) {
  const Checkpoint checkpoint = Checkpoint::open(path);
  load_weights(checkpoint, trainer_.pack());
  load_moments(checkpoint, trainer_);
  return training_state(checkpoint.manifest(), path.string());
}

void TrainingRun::rewind(std::int64_t from) {
  poll_saves(true);
  const std::string path =
      parts_.ranks.from_first(record_ ? newest_checkpoint(from).string() : std::string());
  TrainingState saved;
  if (record_ || parts_.shards_saved) saved = restore(path);
  saved = from_first(saved);
  share_weights();
  const std::int64_t sequences = config_.batch.tokens / config_.batch.context;
  const std::int64_t past = state_.bad.first_position + config_.numerics.skip_window * sequences;
  event(from, "rewind",
        fmt::format("back to step {}, leaving out samples {} to {}", saved.step,
                    state_.bad.first_position, past - 1));
  if (record_) {
    const std::string abandoned =
        abandon_after(parts_.directory->checkpoints(), std::uint64_t(saved.step));
    if (!abandoned.empty()) event(saved.step, "superseded", abandoned);
  }
  state_.step = saved_step_ = saved.step;
  state_.adam_steps = saved.adam_steps;
  state_.loss_mean = saved.loss_mean;
  state_.position = past;
  state_.bad = {};
  state_.best_loss = saved.best_loss;
  state_.best_step = saved.best_step;
  state_.validation_loss = saved.validation_loss;
  save_postponed_ = false;
  find_best();
  trainer_.optimizer().set_adam_steps(saved.adam_steps);
  parts_.data.seek(past);
}

}  // namespace tern
