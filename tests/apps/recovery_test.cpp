#include "apps/run/recovery.h"

#include <gtest/gtest.h>

namespace tern {
namespace {

constexpr RecoveryPolicy kPolicy{.skips_before_rewind = 3, .rewinds_before_giving_up = 2};

Recovery bad(RecoveryMachine& m, bool can_rewind = true) {
  return m.judge(false, true, can_rewind);
}
Recovery good(RecoveryMachine& m) {
  return m.judge(true, true, true);
}

TEST(Recovery, FiniteStepsAreApplied) {
  RecoveryMachine m(kPolicy);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(good(m), Recovery::apply);
  EXPECT_EQ(m.skipped(), 0);
  EXPECT_TRUE(m.healthy());
}

TEST(Recovery, LossAndGradientBothCount) {
  RecoveryMachine m(kPolicy);
  EXPECT_EQ(m.judge(false, true, true), Recovery::skip);
  EXPECT_EQ(good(m), Recovery::apply);
  EXPECT_EQ(m.judge(true, false, true), Recovery::skip);
  EXPECT_EQ(m.skipped(), 2);
  EXPECT_FALSE(m.healthy());
}

TEST(Recovery, RewindsAfterSeveralInARowOnly) {
  RecoveryMachine m(kPolicy);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(bad(m), Recovery::skip);
    EXPECT_EQ(bad(m), Recovery::skip);
    EXPECT_EQ(good(m), Recovery::apply);
  }
  EXPECT_EQ(bad(m), Recovery::skip);
  EXPECT_EQ(bad(m), Recovery::skip);
  EXPECT_EQ(bad(m), Recovery::rewind);
  EXPECT_TRUE(m.healthy());  // the weights are those of the checkpoint
  EXPECT_EQ(m.rewinds(), 1);
  EXPECT_EQ(m.skipped(), 13);
}

TEST(Recovery, GivesUpAfterSeveralRewinds) {
  RecoveryMachine m(kPolicy);
  Recovery last = Recovery::apply;
  int steps = 0;
  for (; last != Recovery::give_up && steps < 100; ++steps) last = bad(m);
  EXPECT_EQ(steps, 9);  // three times three
}

TEST(Recovery, ANewGoodCheckpointForgivesRewinds) {
  RecoveryMachine m(kPolicy);
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 2; ++i) bad(m);
    EXPECT_EQ(bad(m), Recovery::rewind) << round;
    good(m);
    m.checkpoint_written();
  }
}

TEST(Recovery, GivesUpWithoutACheckpoint) {
  RecoveryMachine m(kPolicy);
  EXPECT_EQ(bad(m, false), Recovery::skip);
  EXPECT_EQ(bad(m, false), Recovery::skip);
  EXPECT_EQ(bad(m, false), Recovery::give_up);
}

TEST(Recovery, GoesOnCountingAfterAResume) {
  RecoveryMachine m(kPolicy, 40);
  bad(m);
  EXPECT_EQ(m.skipped(), 41);
}

}  // namespace
}  // namespace tern
