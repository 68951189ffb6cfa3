#include "apps/train/step_agreement.h"

#include <fmt/format.h>

#include "apps/run/pace.h"
#include "core/clock.h"

namespace tern {
namespace {

// Ranks do the same work: a rank that needs half as long again, and not just milliseconds, is slow.
constexpr double kSlowFactor = 1.5, kSlowSeconds = 0.5;
constexpr double kStragglerPause = 60;  // seconds between two warnings

std::string straggler(const std::vector<StepNote>& notes) {
  std::vector<double> seconds;
  for (const StepNote& n : notes) seconds.push_back(n.busy_seconds);
  const auto slowest = std::max_element(seconds.begin(), seconds.end()) - seconds.begin();
  std::vector<double> sorted = seconds;
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[(sorted.size() - 1) / 2], most = sorted.back();
  if (most < kSlowFactor * median || most < median + kSlowSeconds) return "";
  std::string all;
  for (const double s : seconds) all += fmt::format(" {:.2f}", s);
  return fmt::format(
      "rank {} was busy for {:.2f} s in this step, half of the ranks for at most "
      "{:.2f} s; by rank:{}",
      slowest, most, median, all);
}

}  // namespace

StepDecision decide(const std::vector<StepNote>& notes) {
  StepDecision out{.straggler = straggler(notes)};
  for (std::size_t r = 0; r < notes.size(); ++r) {
    const StepNote& n = notes[r];
    out.save = out.save || n.save;
    if (!out.stop.empty()) continue;
    if (n.signal) {
      out.stop = fmt::format("stopped by signal {}", n.signal);
      if (r > 0) out.stop += fmt::format(" to rank {}", r);
    } else if (n.time_up) {
      out.stop = "stopped at run.time_limit";
    }
  }
  return out;
}

StepAgreement::StepAgreement(OpenedRun& opened, const RunDirectory* directory,
                             TrainingReports& reports, const CheckpointSaver& saver)
    : opened_(opened), directory_(directory), reports_(reports), saver_(saver) {}

bool StepAgreement::stop_wanted(std::int64_t step, double next) {
  if (!stop_.empty()) return true;
  const TimeLimit limit(double(opened_.config.run.time_limit));
  const bool time_up = limit.reached(seconds_since_process_start(), next, saver_.longest_save());
  const bool by_signal = signals_.take_save_request();
  const bool by_file = directory_ && directory_->take_save_request();
  const StepDecision all = decide(opened_.control().all_gather_value(
      StepNote{.signal = signals_.stop_signal(),
               .time_up = time_up,
               .save = by_signal || by_file,
               .busy_seconds = std::exchange(busy_seconds_, 0)}));
  save_asked_ = save_asked_ || all.save;
  if (!all.straggler.empty() && monotonic_seconds() > warned_straggler_ + kStragglerPause) {
    warned_straggler_ = monotonic_seconds();
    reports_.event(step, "straggler", all.straggler);
  }
  stop_ = all.stop;
  return !stop_.empty();
}

}  // namespace tern
