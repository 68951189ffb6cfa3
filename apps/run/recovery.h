// Response to losses and gradients that are not finite: skip the update; after several in a
// row go back to the last good checkpoint, past the data that led here; after several such rewinds
// give up. Decides only; the caller acts.
#pragma once

#include <cstdint>

namespace tern {

struct RecoveryPolicy {
  int skips_before_rewind = 3;       // that many bad steps in a row lead to a rewind
  int rewinds_before_giving_up = 3;  // without a new good checkpoint between them
};

enum class Recovery {
  apply,    // finite: update the weights
  skip,     // leave weights and moments as they are; data position and schedule go on
  rewind,   // skip, then restore everything but the data position from the last good checkpoint
  give_up,  // end the run with Fault::diverged
};

class RecoveryMachine {
 public:
  // The counts continue those of a resumed run.
  explicit RecoveryMachine(RecoveryPolicy policy, std::int64_t skipped = 0, int bad_in_a_row = 0,
                           int rewinds = 0)
      : policy_(policy), bad_in_a_row_(bad_in_a_row), rewinds_(rewinds), skipped_(skipped) {}

  // after the step's report; can_rewind: there is a good checkpoint to go back to
  Recovery judge(bool finite_loss, bool finite_gradient_norm, bool can_rewind);
  // A checkpoint of a healthy run is on the disk: the troubles before it are overcome.
  void checkpoint_written() { rewinds_ = 0; }

  // Whether the last step was good. Among bad steps the weights themselves may be the cause: a
  // rewind never goes to a checkpoint that was taken among them.
  bool healthy() const { return bad_in_a_row_ == 0; }
  int bad_in_a_row() const { return bad_in_a_row_; }
  std::int64_t skipped() const { return skipped_; }  // updates, over the whole run
  int rewinds() const { return rewinds_; }           // since the last good checkpoint was written

 private:
  RecoveryPolicy policy_;
  int bad_in_a_row_, rewinds_;
  std::int64_t skipped_;
};

inline Recovery RecoveryMachine::judge(bool finite_loss, bool finite_gradient_norm,
                                       bool can_rewind) {
  if (finite_loss && finite_gradient_norm) {
    bad_in_a_row_ = 0;
    return Recovery::apply;
  }
  ++skipped_;
  if (++bad_in_a_row_ < policy_.skips_before_rewind) return Recovery::skip;
  if (!can_rewind || rewinds_ >= policy_.rewinds_before_giving_up) return Recovery::give_up;
  bad_in_a_row_ = 0;
  ++rewinds_;
  return Recovery::rewind;
}

}  // namespace tern
