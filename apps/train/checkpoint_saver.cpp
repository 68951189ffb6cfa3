#include "apps/train/checkpoint_saver.h"

#include <fmt/format.h>

#include <cmath>

#include "apps/config/resolved.h"
#include "apps/system/environment.h"
#include "apps/train/replicas.h"
#include "core/backend.h"
#include "runtime/checkpoints.h"

namespace tern {
namespace {

CheckpointOptions checkpoint_options(OpenedRun& opened, const RunDirectory* directory) {
  const CheckpointSection& c = opened.config.checkpoint;
  const bool together = opened.shards_saved();
  return {.directory = directory ? directory->checkpoints() : opened.directory() / "checkpoints",
          .retention = {.keep_last = std::uint64_t(c.keep_last),
                        .keep_every = std::uint64_t(c.keep_every),
                        .best = {},
                        .fixed = c.before_decay
                                     ? std::optional<std::uint64_t>(decay_begin(opened.config))
                                     : std::nullopt},
          .version = std::string(version()),
          .rank = together ? opened.info.rank : 0,
          .world = together ? opened.info.size : 1,
          .free_memory = [writers = together ? opened.info.local_size : 1] {
            return free_host_memory(writers);
          }};
}

// Calls f; what went wrong, or nothing.
template <class F>
std::string error_of(const F& f) {
  try {
    f();
    return {};
  } catch (const std::exception& e) {
    return e.what();
  }
}

// In parts: a host copy of the whole may not fit.
bool all_finite(const Tensor& flat) {
  constexpr Index kPart = 1 << 20;
  const Index size = flat.shape().elements();
  for (Index first = 0; first < size; first += kPart)
    for (const double x : download_real(flat.slice(first, std::min(kPart, size - first))))
      if (!std::isfinite(x)) return false;
  return true;
}

}  // namespace

CheckpointSaver::CheckpointSaver(OpenedRun& opened, const RunDirectory* directory,
                                 TrainingReports& reports, RecoveryMachine& recovery)
    : opened_(opened), directory_(directory), reports_(reports), recovery_(recovery) {}

void CheckpointSaver::open() {
  if (directory_ || opened_.shards_saved())
    writer_.emplace(checkpoint_options(opened_, directory_));
}

void CheckpointSaver::continue_from(std::int64_t step) {
  saved_step_ = step;
  postponed_ = false;
}

void CheckpointSaver::find_best() {
  best_saved_.reset();
  if (!directory_) return;
  const std::filesystem::path checkpoints = directory_->checkpoints();
  if (opened_.config.checkpoint.keep_best) best_saved_ = best_of_course(checkpoints);
  note_best(checkpoints, best_saved_ ? checkpoint_name(best_saved_->step) : "");
}

bool CheckpointSaver::saving_best() const {
  return !std::isnan(saving_loss_) && !(best_saved_ && best_saved_->loss <= saving_loss_);
}

// A skipped update changes no weight, but the weights may be what is wrong: the next good step
// says. All ranks wait for those that write: a checkpoint without a copy may take longer than
// ranks.timeout.
void CheckpointSaver::save_or_postpone(Trainer& trainer, const TrainingState& state) {
  const bool good = recovery_.healthy();
  if (!std::exchange(postponed_, !good) && !good)
    reports_.event(state.step, "save_postponed",
                   "the update was skipped: saved after the next good step");
  if (!good) return;
  save(trainer, state);
  FailureDetector* detector = opened_.failure_detector();
  if (!detector) return;
  detector->finishing();
  opened_.control().all_gather({});
  detector->finishing(false);
}

// After a skipped step the tensors are checked: saved, so that a resumed run goes on as this would.
void CheckpointSaver::save_last(Trainer& trainer, const TrainingState& state) {
  poll(state.step, true);  // the last step may be on its way to the disk
  if (writer_ && state.step != saved_step_) {
    broken_ = !recovery_.healthy() && !finite_tensors(trainer);
    if (!broken_) save(trainer, state);
  }
  poll(state.step, true);
}

void CheckpointSaver::require_saved(std::int64_t step) const {
  require(!broken_, Fault::diverged, "the last updates before step ", step,
          " were skipped, weights or moments are not finite: ", last_good());
  require(saved_step_ == step, Fault::disk, "the last checkpoint could not be saved: ", problem_);
}

void CheckpointSaver::save(Trainer& trainer, const TrainingState& state) {
  if (!writer_) return;
  const Pause pause(reports_.pace());
  const double start = monotonic_seconds();
  poll(state.step, true);  // what is best depends on whether the last save succeeds
  const double waited = monotonic_seconds() - start;
  TrainingState saved = state;
  saved.bad.in_a_row = recovery_.bad_in_a_row();
  saved.bad.rewinds = recovery_.rewinds();
  saving_loss_ = state.validation_loss;
  std::optional<std::uint64_t> best;
  if (opened_.config.checkpoint.keep_best && saving_best())
    best = std::uint64_t(state.step);
  else if (best_saved_)
    best = best_saved_->step;
  const CheckpointFacts facts{
      .step = std::uint64_t(state.step),
      .tokens = std::uint64_t(opened_.tokens(state.step)),
      .parameters = std::uint64_t(count_parameters(opened_.config.model).total()),
      .config = {{"toml", resolved_config(opened_.loaded)}},
      .state = to_json(saved),
      .best = best,
      .prune = recovery_.healthy()};
  if (opened_.shards_saved()) {
    saving_ = facts;
    if (!begin(state.step)) return;
  }
  const auto tensors = checkpoint_tensors(trainer, opened_.data.tokenizer().file());
  if (FailureDetector* detector = opened_.failure_detector()) detector->finishing();
  stall_ = waited + writer_->save(facts, tensors);
  if (!opened_.shards_saved()) collect(state.step, writer_->poll());
}

bool CheckpointSaver::finite_tensors(Trainer& trainer) {
  const AdamWOptimizer& adam = trainer.optimizer();
  const bool finite = all_finite(trainer.pack().values()) && all_finite(adam.first_moment()) &&
                      all_finite(adam.second_moment());
  if (!opened_.shards_saved()) return finite;
  const std::vector<std::int32_t> all = opened_.control().all_gather_value(std::int32_t(finite));
  return std::ranges::count(all, 0) == 0;
}

bool CheckpointSaver::begin(std::int64_t step) {
  const auto call = [&] { begin_checkpoint(writer_->options(), saving_->step); };
  const std::string problem = opened_.control().broadcast(directory_ ? error_of(call) : "");
  if (problem.empty()) return true;
  saving_.reset();
  collect(step, {{.step = std::uint64_t(step), .error = problem}});
  return false;
}

// Whether a save is done is something that all ranks find out together.
void CheckpointSaver::poll(std::int64_t step, bool wait) {
  if (!writer_) return;
  if (!opened_.shards_saved()) return collect(step, wait ? writer_->wait() : writer_->poll());
  if (!saving_) return;
  for (SaveResult& r : wait ? writer_->wait() : writer_->poll()) saved_ = std::move(r);
  const std::vector<std::int32_t> done =
      opened_.control().all_gather_value(std::int32_t(saved_.has_value()));
  if (std::ranges::count(done, 0) == 0) complete(step, *std::exchange(saved_, std::nullopt));
}

void CheckpointSaver::wait_alone(std::int64_t step) {
  const std::vector<SaveResult> last = writer_->wait();
  if (!opened_.shards_saved()) collect(step, last);  // of a shard the others would have to know
}

void CheckpointSaver::complete(std::int64_t step, const SaveResult& own) {
  ControlPlane& control = opened_.control();
  const CheckpointFacts facts = *std::exchange(saving_, std::nullopt);
  SaveResult all{
      .step = own.step, .path = own.path, .seconds = own.seconds, .streamed = own.streamed};
  std::vector<std::string> errors, shards;
  for (const Bytes& b : control.all_gather(bytes_of(own.error))) errors.push_back(text_of(b));
  for (const Bytes& b : control.gather(bytes_of(own.shard))) shards.push_back(text_of(b));
  for (std::size_t r = 0; r < errors.size() && all.error.empty(); ++r)
    if (!errors[r].empty()) all.error = "rank " + std::to_string(r) + ": " + errors[r];
  const auto publish = [&] {
    all.bytes = complete_checkpoint(writer_->options(), facts, shards);
    all.warning = tidy_checkpoints(writer_->options(), facts);
  };
  if (directory_ && all.error.empty()) all.error = error_of(publish);
  if (directory_ && !all.error.empty()) drop_checkpoint(writer_->options(), all.step);
  all.error = control.broadcast(all.error);
  collect(step, {all});
}

void CheckpointSaver::collect(std::int64_t step, const std::vector<SaveResult>& finished) {
  const CheckpointSection& config = opened_.config.checkpoint;
  for (const SaveResult& save : finished) {
    reports_.add(CheckpointReport{.step = std::int64_t(save.step),
                                  .tokens = opened_.tokens(std::int64_t(save.step)),
                                  .path = save.path.string(),
                                  .problem = save.error,
                                  .bytes = std::int64_t(save.bytes),
                                  .seconds = save.seconds,
                                  .stall_seconds = stall_,
                                  .streamed = save.streamed});
    if (!save.warning.empty()) reports_.event(step, "warning", save.warning);
    longest_save_ = std::max(longest_save_, save.seconds);
    if (save.error.empty()) {
      saved_step_ = std::int64_t(save.step);
      if (recovery_.healthy()) recovery_.checkpoint_written();
      if (config.keep_best && saving_best()) best_saved_ = {save.step, saving_loss_};
    } else {
      problem_ = save.error;
      if (!config.required) continue;
      opened_.shards_saved() ? end_by_rank_zero(opened_.control(), Fault::disk, save.error)
                             : fail(Fault::disk, save.error);
    }
  }
}

std::string CheckpointSaver::last_good() const {
  return saved_step_ >= 0 ? fmt::format("the last good checkpoint is of step {}", saved_step_)
                          : "there is no checkpoint";
}

std::string CheckpointSaver::path() const {
  if (!directory_ || saved_step_ < 0) return "";
  return (directory_->checkpoints() / checkpoint_name(std::uint64_t(saved_step_))).string();
}

}  // namespace tern
