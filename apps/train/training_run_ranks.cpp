// Exchange and agreement between the ranks of a training run.
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "apps/run/pace.h"
#include "apps/train/replica_hash.h"
#include "apps/train/training_run.h"
#include "runtime/training_state.h"

namespace tern {
namespace {

constexpr double kStragglerPause = 60;  // seconds between two warnings

}  // namespace

double TrainingRun::longest_until_next_step() const {
  const std::int64_t every = config_.logging.validation_interval, next = state_.step + 1;
  const bool validated = every > 0 && (next % every == 0 || next == steps_);
  return longest_step_ + (validated ? longest_validation_ : 0);
}

// Between steps, batches of validation, and samples. Once a stop is wanted it stays so.
bool TrainingRun::stop_wanted(std::string& why, double next) {
  if (!stop_.empty()) {
    why = stop_;
    return true;
  }
  const TimeLimit limit(double(config_.run.time_limit));
  const bool time_up = limit.reached(seconds_since_process_start(), next, longest_save_);
  const bool by_signal = signals_.take_save_request();
  const bool by_file = parts_.directory && parts_.directory->take_save_request();
  const StepDecision all =
      decide(parts_.ranks.agree_on(StepNote{.signal = signals_.stop_signal(),
                                            .time_up = time_up,
                                            .save = by_signal || by_file,
                                            .busy_seconds = std::exchange(busy_seconds_, 0)}));
  save_asked_ = save_asked_ || all.save;
  if (!all.straggler.empty() && monotonic_seconds() > warned_straggler_ + kStragglerPause) {
    warned_straggler_ = monotonic_seconds();
    event(state_.step, "straggler", all.straggler);
  }
  why = stop_ = all.stop;
  return !why.empty();
}

// Each rank computes consecutive whole sequences of the one global batch, as many as every other
// rank or one more.
HostBatch TrainingRun::own_share(const TrainingBatch& batch) const {
  const Range own =
      even_part(Index(batch.samples.size()), {parts_.ranks.rank(), parts_.ranks.size()});
  const std::size_t T = std::size_t(config_.batch.context);
  const auto part = [&](std::span<const std::int32_t> ids) {
    return ids.subspan(std::size_t(own.first) * T, std::size_t(own.count) * T);
  };
  return {part(batch.inputs), part(batch.targets)};
}

// Loss and norm are sums over all ranks, the same bits everywhere. What follows when they are not
// finite depends on what is on the disk, which rank 0 alone knows.
Recovery TrainingRun::agreed_verdict(const UpdateReport& update) {
  const Recovery own = recovery_.judge(std::isfinite(update.loss), std::isfinite(update.grad_norm),
                                       saved_step_ >= 0);
  return own == Recovery::apply ? own : parts_.ranks.agree_on(own)[0];
}

void TrainingRun::share_weights() {
  if (parts_.ranks.size() == 1) return;
  if (parts_.shards_saved) return trainer_.optimizer().all_gather_copies();
  const AdamWOptimizer& optimizer = trainer_.optimizer();
  const Owned all[] = {{.t = trainer_.pack().values()},
                       {.t = optimizer.first_moment()},
                       {.t = optimizer.second_moment()}};
  parts_.communicator.broadcast(all).wait();
  trainer_.pack().quantize();
}

TrainingState TrainingRun::from_first(const TrainingState& state) {
  const std::string text = parts_.ranks.from_first(to_json(state).dump());
  return training_state(nlohmann::json::parse(text), "rank 0");
}

void TrainingRun::share_start() {
  if (parts_.ranks.size() == 1) return;
  if (parts_.shards_saved) return share_weights();  // each has read its own part
  const std::int64_t saved_step = saved_step_;
  share_weights();
  start_at(from_first(state_));
  saved_step_ = saved_step;
}

// Compares the tensors that every rank holds: copies of all matrices, rows of tokens, the rest.
void TrainingRun::check_replicas() {
  const Pause pause(pace_);
  const std::string own = replica_hash(trainer_.pack());
  std::vector<std::string> all;
  for (const Bytes& b : parts_.ranks.agree(bytes_of(own))) all.push_back(text_of(b));
  const std::string odd = ranks_that_differ(all);
  if (odd.empty()) return;
  event(state_.step, "replicas_differ", odd);
  if (parts_.ranks.failure_detector()) parts_.ranks.failure_detector()->finishing();
  end_with_first(Fault::communication, fmt::format("after step {}: {}", state_.step, odd));
}

}  // namespace tern
