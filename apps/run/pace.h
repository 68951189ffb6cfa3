// How fast a run goes and when it will be done. Fed with times of a monotonic clock, in seconds;
// time that seems to run backwards counts as none.
#pragma once

#include <cstdint>

namespace tern {

class Pace {
 public:
  explicit Pace(double now) : last_(now) {}

  // a step over so many tokens has just ended
  void step(double now, std::int64_t tokens);
  // validation, sampling or a stall of saving has just ended: no part of the rate, but of the ETA
  void pause(double now);

  double seconds_per_step() const;                       // smoothed; NaN before the first step
  double tokens_per_second() const;                      // smoothed
  double seconds_left(std::int64_t steps_left) const;    // with the pauses to be expected
  double training_seconds() const { return training_; }  // in steps, so far

 private:
  double lap(double now);

  double last_;
  double weight_ = 0;  // of the moving averages; 1 once they have forgotten their start
  double seconds_ = 0, tokens_ = 0;  // moving sums per step, times weight_
  double training_ = 0, paused_ = 0;
};

// seconds of the monotonic clock, from an arbitrary origin
double monotonic_seconds();

}  // namespace tern
