// The checkpoints of a training run: by rank 0, or by all ranks together.
#include <algorithm>
#include <cmath>

#include "apps/config/resolved.h"
#include "apps/train/training_run.h"
#include "core/check.h"

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

}  // namespace

// All wait for those that write: without memory for a copy that may take longer than ranks.timeout.
void TrainingRun::save() {
  Watch* watch = parts_.ranks.watch();
  if (!watch) return start_save();
  watch->finishing();
  start_save();
  parts_.ranks.agree({});
  watch->finishing(false);
}

void TrainingRun::start_save() {
  if (!writer_ || !recovery_.healthy()) return;  // the weights themselves may be what is wrong
  const CheckpointFacts facts{.step = std::uint64_t(state_.step),
                              .tokens = std::uint64_t(tokens(state_.step)),
                              .parameters = std::uint64_t(count_parameters(config_.model).total()),
                              .config = {{"toml", resolved_config(parts_.loaded)}},
                              .state = to_json(state_)};
  if (parts_.shards_saved) {
    poll_saves(true);
    saving_ = facts;
    if (!begin_save()) return;
  }
  const auto tensors = checkpoint_tensors(trainer_, parts_.data.tokenizer().model());
  save_stall_ = writer_->save(facts, tensors);
  if (!parts_.shards_saved) collect(writer_->poll());
  pace_.pause(monotonic_seconds());
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
  for (const Bytes& b : parts_.ranks.agree(bytes_of(own.shard))) shards.push_back(text_of(b));
  for (std::size_t r = 0; r < errors.size() && all.error.empty(); ++r)
    if (!errors[r].empty()) all.error = "rank " + std::to_string(r) + ": " + errors[r];
  const auto complete = [&] {
    all.bytes = complete_checkpoint(writer_->options(), facts, shards);
    all.warning = tidy_checkpoints(writer_->options(), all.step);
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
      recovery_.checkpoint_written();
    } else {
      save_problem_ = save.error;
      if (!config_.checkpoint.required) continue;
      parts_.shards_saved ? end_with_first(Fault::disk, save.error) : fail(Fault::disk, save.error);
    }
  }
}

}  // namespace tern
