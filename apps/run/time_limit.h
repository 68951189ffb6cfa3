// Stops a run early enough that its last checkpoint is on the disk before a scheduler kills it.
#pragma once

namespace tern {

class TimeLimit {
 public:
  // seconds of wall time from the start of the process; <= 0: no limit
  explicit TimeLimit(double seconds) : seconds_(seconds) {}

  // Whether to stop now: what comes next and a save might not fit any more. elapsed: since the
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
