// Stops a run early enough that its last checkpoint is on the disk before a scheduler kills it.
#pragma once

namespace tern {

class TimeLimit {
 public:
  // seconds of wall time from the start of the process; <= 0: no limit
  explicit TimeLimit(double seconds) : seconds_(seconds) {}

  // Whether to stop now: another step and a save might not fit any more. elapsed: since the process
  // started; a step and a save may both take half as long again as the longest so far.
  bool reached(double elapsed, double longest_step, double longest_save) const {
    return seconds_ > 0 && elapsed + 1.5 * (longest_step + longest_save) >= seconds_;
  }

 private:
  double seconds_;
};

// how long this process has been running, in seconds of the monotonic clock
double seconds_since_process_start();

}  // namespace tern
