#include "apps/run/recovery.h"

namespace tern {

Recovery RecoveryMachine::judge(bool finite_loss, bool finite_gradient_norm, bool can_rewind) {
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
