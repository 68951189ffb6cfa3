#include "apps/run/pace.h"

#include <algorithm>
#include <limits>

namespace tern {
namespace {

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
  seconds_.add(seconds);
  tokens_.add(double(tokens));
}

void Pace::add_pause(double seconds) {
  if (steps_ > 0) paused_ += std::max(0.0, seconds);
}

double Pace::tokens_per_second() const {
  return ratio(tokens_.value(), seconds_.value());
}

double Pace::mean_tokens_per_second() const {
  return ratio(trained_, timed_);
}

double Pace::seconds_left(std::int64_t steps_left) const {
  const double pauses = timed_ > 0 ? paused_ / timed_ : 0;
  return double(std::max<std::int64_t>(0, steps_left)) * seconds_.value() * (1 + pauses);
}

}  // namespace tern
