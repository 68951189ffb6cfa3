#include "apps/train/step_agreement.h"

#include <fmt/format.h>

#include <algorithm>

namespace tern {
namespace {

// Ranks do the same work: a rank that needs half as long again, and not just milliseconds, is slow.
constexpr double kSlowFactor = 1.5, kSlowSeconds = 0.5;

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

}  // namespace tern
