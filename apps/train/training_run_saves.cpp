// The checkpoints of a training run: by rank 0, or by all ranks together.
#include <algorithm>
#include <cmath>

#include "apps/config/resolved.h"
#include "apps/train/training_run.h"
#include "core/check.h"
#include "core/host.h"

namespace tern {
namespace {

// Calls f; what went wrong, or nothing.
template <class F>
std::string complaint_of(const F& f) {
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

// A skipped update changes no weight, but the weights may be what is wrong: the next good step
// says.
void TrainingRun::save_or_postpone() {
  const bool good = recovery_.healthy();
  if (!std::exchange(save_postponed_, !good) && !good)
    event(state_.step, "save_postponed", "the update was skipped: saved after the next good step");
  if (good) save_together();
}

// All ranks wait for those that write: a checkpoint without a copy may take longer than
// ranks.timeout.
void TrainingRun::save_together() {
  save();
  FailureDetector* detector = parts_.ranks.failure_detector();
  if (!detector) return;
  detector->finishing();
  parts_.ranks.agree({});
  detector->finishing(false);
}

// After a good step; after a skipped one at the end only, where a resumed run goes on as this
// would.
void TrainingRun::save() {
  if (!writer_) return;
  const Pause pause(pace_);
  const double begin = monotonic_seconds();
  poll_saves(true);  // what is best depends on whether the last save succeeds
  const double waited = monotonic_seconds() - begin;
  state_.bad.in_a_row = recovery_.bad_in_a_row();
  state_.bad.rewinds = recovery_.rewinds();
  saving_loss_ = state_.validation_loss;
  std::optional<std::uint64_t> best;
  if (config_.checkpoint.keep_best && saving_best())
    best = std::uint64_t(state_.step);
  else if (best_saved_)
    best = best_saved_->step;
  const CheckpointFacts facts{.step = std::uint64_t(state_.step),
                              .tokens = std::uint64_t(tokens(state_.step)),
                              .parameters = std::uint64_t(count_parameters(config_.model).total()),
                              .config = {{"toml", resolved_config(parts_.loaded)}},
                              .state = to_json(state_),
                              .best = best,
                              .prune = recovery_.healthy()};
  if (parts_.shards_saved) {
    saving_ = facts;
    if (!begin_save()) return;
  }
  const auto tensors = checkpoint_tensors(trainer_, parts_.data.tokenizer().model());
  if (parts_.ranks.failure_detector()) parts_.ranks.failure_detector()->finishing();
  save_stall_ = waited + writer_->save(facts, tensors);
  if (!parts_.shards_saved) collect(writer_->poll());
}

// On rank 0: of the checkpoints that are there.
void TrainingRun::find_best() {
  best_saved_.reset();
  if (!parts_.directory) return;
  const std::filesystem::path checkpoints = parts_.directory->checkpoints();
  if (config_.checkpoint.keep_best) best_saved_ = best_of_course(checkpoints);
  note_best(checkpoints, best_saved_ ? checkpoint_name(best_saved_->step) : "");
}

bool TrainingRun::saving_best() const {
  return !std::isnan(saving_loss_) && !(best_saved_ && best_saved_->loss <= saving_loss_);
}

bool TrainingRun::finite_tensors() {
  const AdamWOptimizer& adam = trainer_.optimizer();
  const bool finite = all_finite(trainer_.pack().values()) && all_finite(adam.first_moment()) &&
                      all_finite(adam.second_moment());
  if (!parts_.shards_saved) return finite;
  const std::vector<std::int32_t> all = parts_.ranks.agree_on(std::int32_t(finite));
  return std::ranges::count(all, 0) == 0;
}

bool TrainingRun::begin_save() {
  const auto begin = [&] { begin_checkpoint(writer_->options(), saving_->step); };
  const std::string problem = parts_.ranks.from_first(record_ ? complaint_of(begin) : "");
  if (problem.empty()) return true;
  const std::uint64_t step = std::exchange(saving_, std::nullopt)->step;
  collect({{.step = step, .error = problem}});
  return false;
}

// Whether a save is done is something that all ranks find out together.
void TrainingRun::poll_saves(bool wait) {
  if (!writer_) return;
  if (!parts_.shards_saved) return collect(wait ? writer_->wait() : writer_->poll());
  if (!saving_) return;
  for (SaveResult& r : wait ? writer_->wait() : writer_->poll()) saved_ = std::move(r);
  const std::vector<std::int32_t> done = parts_.ranks.agree_on(std::int32_t(saved_.has_value()));
  if (std::ranges::count(done, 0) == 0) complete_save(*std::exchange(saved_, std::nullopt));
}

void TrainingRun::complete_save(const SaveResult& own) {
  const CheckpointFacts facts = *std::exchange(saving_, std::nullopt);
  SaveResult all{
      .step = own.step, .path = own.path, .seconds = own.seconds, .streamed = own.streamed};
  std::vector<std::string> errors, shards;
  for (const Bytes& b : parts_.ranks.agree(bytes_of(own.error))) errors.push_back(text_of(b));
  for (const Bytes& b : parts_.ranks.to_first(bytes_of(own.shard))) shards.push_back(text_of(b));
  for (std::size_t r = 0; r < errors.size() && all.error.empty(); ++r)
    if (!errors[r].empty()) all.error = "rank " + std::to_string(r) + ": " + errors[r];
  const auto complete = [&] {
    all.bytes = complete_checkpoint(writer_->options(), facts, shards);
    all.warning = tidy_checkpoints(writer_->options(), facts);
  };
  if (record_ && all.error.empty()) all.error = complaint_of(complete);
  if (record_ && !all.error.empty()) drop_checkpoint(writer_->options(), all.step);
  all.error = parts_.ranks.from_first(all.error);
  collect({all});
}

void TrainingRun::collect(const std::vector<SaveResult>& finished) {
  for (const SaveResult& save : finished) {
    record(CheckpointReport{.step = std::int64_t(save.step),
                            .tokens = tokens(std::int64_t(save.step)),
                            .path = save.path.string(),
                            .problem = save.error,
                            .bytes = std::int64_t(save.bytes),
                            .seconds = save.seconds,
                            .stall_seconds = save_stall_,
                            .streamed = save.streamed});
    if (!save.warning.empty()) event(state_.step, "warning", save.warning);
    longest_save_ = std::max(longest_save_, save.seconds);
    if (save.error.empty()) {
      saved_step_ = std::int64_t(save.step);
      if (recovery_.healthy()) recovery_.checkpoint_written();
      if (config_.checkpoint.keep_best && saving_best()) best_saved_ = {save.step, saving_loss_};
    } else {
      save_problem_ = save.error;
      if (!config_.checkpoint.required) continue;
      parts_.shards_saved ? end_with_first(Fault::disk, save.error) : fail(Fault::disk, save.error);
    }
  }
}

}  // namespace tern
