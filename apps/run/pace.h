// Speed of a run, the time that is left of it, and its time limit.
#pragma once

#include "core/clock.h"
#include "runtime/training_state.h"

namespace tern {

// Speed of a run and the time that is left, from the times of its steps and pauses. Leaves out the
// first step of a process, which also starts threads and libraries. Negative times count as none.
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

// Stops a run early enough that its last checkpoint is on the disk before a scheduler kills it.
class TimeLimit {
 public:
  // seconds of wall time from the start of the process; <= 0: no limit
  explicit TimeLimit(double seconds) : seconds_(seconds) {}

  // Whether to stop now: the next step and a save might not fit any more. elapsed: since the
  // process started; next: the longest so far of what comes before the next question: a step and
  // the validation after it, a batch of validation, a sample. Both may take half as long again.
  bool reached(double elapsed, double next, double longest_save) const {
    return seconds_ > 0 && elapsed + 1.5 * (next + longest_save) >= seconds_;
  }

 private:
  double seconds_;
};

// how long this process has been running, in seconds of the monotonic clock
double seconds_since_process_start();

}  // namespace tern
