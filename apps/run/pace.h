// How fast a run goes and when it will be done, from what its steps and its pauses took. The first
// step of a process is left out of both: it also starts threads and libraries. Negative times count
// as none.
#pragma once

#include <cstdint>

#include "apps/run/running_mean.h"
#include "core/clock.h"

namespace tern {

class Pace {
 public:
  // a step over so many tokens took so long
  void add_step(double seconds, std::int64_t tokens);
  // validation, sampling or a stall of saving: no part of the rate, but of the time that is left
  void add_pause(double seconds);

  // NaN before the second step
  double tokens_per_second() const;                            // smoothed
  double mean_tokens_per_second() const;                       // of all steps but the first
  double seconds_left(std::int64_t steps_left) const;          // with the pauses to be expected
  double training_seconds() const { return first_ + timed_; }  // in steps, so far

 private:
  std::int64_t steps_ = 0;
  // A step counts half as much after 14 more: calm enough to read, quick enough to notice a change.
  RunningMean seconds_{.forget = 0.05}, tokens_{.forget = 0.05};  // of a step
  double first_ = 0, timed_ = 0, trained_ = 0;  // seconds; seconds and tokens after the first step
  double paused_ = 0;
};

// A pause from here to the end of the scope.
class Pause {
 public:
  explicit Pause(Pace& pace) : pace_(pace) {}
  ~Pause() { pace_.add_pause(monotonic_seconds() - begin_); }
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;

 private:
  Pace& pace_;
  double begin_ = monotonic_seconds();
};

}  // namespace tern
