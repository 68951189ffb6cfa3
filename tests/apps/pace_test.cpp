#include "apps/run/pace.h"

#include <gtest/gtest.h>

#include <cmath>

#include "runtime/training_state.h"
namespace tern {
namespace {

TEST(Pace, IsExactFromTheSecondStepOn) {
  Pace p;
  p.add_pause(40);     // validation before the first step
  p.add_step(90, 10);  // which starts up
  p.add_pause(0);
  EXPECT_TRUE(std::isnan(p.tokens_per_second()));
  EXPECT_TRUE(std::isnan(p.mean_tokens_per_second()));
  EXPECT_TRUE(std::isnan(p.seconds_left(5)));
  EXPECT_EQ(p.training_seconds(), 90);
  for (int i = 1; i <= 50; ++i) {
    p.add_step(2, 1000);
    EXPECT_NEAR(p.tokens_per_second(), 500, 1e-9);
    EXPECT_NEAR(p.mean_tokens_per_second(), 500, 1e-9);
    EXPECT_NEAR(p.seconds_left(10), 20, 1e-9);
  }
  EXPECT_EQ(p.training_seconds(), 190);
}

TEST(Pace, FollowsAChangeOfSpeed) {
  Pace p;
  for (int i = 0; i < 100; ++i) p.add_step(1, 100);
  for (int i = 0; i < 100; ++i) p.add_step(3, 100);
  EXPECT_NEAR(p.tokens_per_second(), 100 / 3.0, 0.5);
}

TEST(Pace, PausesCountForTheEtaOnly) {
  Pace p;
  p.add_step(7, 100);
  for (int i = 0; i < 20; ++i) {
    p.add_step(1, 100);
    p.add_pause(0.5);
  }
  EXPECT_NEAR(p.tokens_per_second(), 100, 1e-9);
  EXPECT_NEAR(p.seconds_left(100), 150, 1e-6);
  EXPECT_NEAR(p.training_seconds(), 27, 1e-9);
  EXPECT_EQ(p.seconds_left(-3), 0);
}

TEST(RunningMean, BeginsWithWhatThereIs) {
  RunningMean m;
  EXPECT_TRUE(std::isnan(m.value()));
  m.add(8);
  EXPECT_NEAR(m.value(), 8, 1e-12);
  m.add(4);
  EXPECT_NEAR(m.value(), (8 * 0.98 + 4) / 1.98, 1e-12);
  for (int i = 0; i < 1000; ++i) m.add(2);
  EXPECT_NEAR(m.value(), 2, 1e-6);
  for (int i = 0; i < 50; ++i) m.add(0);
  EXPECT_NEAR(m.value(), 2 * std::exp(-1), 0.01);  // a time constant of 50 steps
}

TEST(TimeLimit, LeavesTimeForAStepAndASave) {
  const TimeLimit limit(100);
  EXPECT_FALSE(limit.reached(80, 1, 10));
  EXPECT_TRUE(limit.reached(84, 1, 10));  // 84 + 1.5 * 11 = 100.5
  EXPECT_TRUE(limit.reached(101, 0, 0));
  EXPECT_FALSE(TimeLimit(0).reached(1e9, 1, 1));
}

TEST(TimeLimit, CountsFromTheStartOfTheProcess) {
  const double a = seconds_since_process_start();
  EXPECT_GE(a, 0);
  EXPECT_LT(a, 600);
  EXPECT_GE(seconds_since_process_start(), a);
}

}  // namespace
}  // namespace tern
