#include "apps/run/pace.h"

#include <algorithm>
#include <chrono>
#include <limits>

namespace tern {
namespace {

// A step counts half as much after 14 more: calm enough to read, quick enough to notice a change.
constexpr double kNew = 0.05;

double ratio(double a, double b) {
  return b > 0 ? a / b : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

void Pace::add_step(double seconds, std::int64_t tokens) {
  seconds = std::max(0.0, seconds);
  if (steps_++ == 0) {
    first_ = seconds;
    return;
  }
  timed_ += seconds;
  trained_ += double(tokens);
  weight_ += kNew * (1 - weight_);
  seconds_ += kNew * (seconds - seconds_);
  tokens_ += kNew * (double(tokens) - tokens_);
}

void Pace::add_pause(double seconds) {
  if (steps_ > 0) paused_ += std::max(0.0, seconds);
}

double Pace::tokens_per_second() const {
  return ratio(tokens_, seconds_);
}

double Pace::mean_tokens_per_second() const {
  return ratio(trained_, timed_);
}

double Pace::seconds_left(std::int64_t steps_left) const {
  const double pauses = timed_ > 0 ? paused_ / timed_ : 0;
  return double(std::max<std::int64_t>(0, steps_left)) * ratio(seconds_, weight_) * (1 + pauses);
}

double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace tern
