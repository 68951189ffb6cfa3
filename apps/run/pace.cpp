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

double Pace::lap(double now) {
  const double seconds = std::max(0.0, now - last_);
  last_ = now;
  return seconds;
}

void Pace::step(double now, std::int64_t tokens) {
  const double seconds = lap(now);
  training_ += seconds;
  weight_ += kNew * (1 - weight_);
  seconds_ += kNew * (seconds - seconds_);
  tokens_ += kNew * (double(tokens) - tokens_);
}

void Pace::pause(double now) {
  paused_ += lap(now);
}

double Pace::seconds_per_step() const {
  return ratio(seconds_, weight_);
}

double Pace::tokens_per_second() const {
  return ratio(tokens_, seconds_);
}

double Pace::seconds_left(std::int64_t steps_left) const {
  const double pauses = training_ > 0 ? paused_ / training_ : 0;
  return double(std::max<std::int64_t>(0, steps_left)) * seconds_per_step() * (1 + pauses);
}

double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace tern
