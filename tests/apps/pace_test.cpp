#include "apps/run/pace.h"

#include <gtest/gtest.h>

#include <cmath>

#include "apps/run/time_limit.h"

namespace tern {
namespace {

TEST(Pace, IsExactFromTheFirstStepOn) {
  Pace p(100);
  EXPECT_TRUE(std::isnan(p.seconds_per_step()));
  EXPECT_TRUE(std::isnan(p.seconds_left(5)));
  for (int i = 1; i <= 50; ++i) {
    p.step(100 + 2 * i, 1000);
    EXPECT_NEAR(p.seconds_per_step(), 2, 1e-9);
    EXPECT_NEAR(p.tokens_per_second(), 500, 1e-9);
    EXPECT_NEAR(p.seconds_left(10), 20, 1e-9);
  }
}

TEST(Pace, FollowsAChangeOfSpeed) {
  Pace p(0);
  double now = 0;
  for (int i = 0; i < 100; ++i) p.step(now += 1, 100);
  for (int i = 0; i < 100; ++i) p.step(now += 3, 100);
  EXPECT_NEAR(p.seconds_per_step(), 3, 0.05);
}

TEST(Pace, PausesCountForTheEtaOnly) {
  Pace p(0);
  double now = 0;
  for (int i = 0; i < 20; ++i) {
    p.step(now += 1, 100);
    p.pause(now += 0.5);
  }
  EXPECT_NEAR(p.seconds_per_step(), 1, 1e-9);
  EXPECT_NEAR(p.seconds_left(100), 150, 1e-6);
  EXPECT_NEAR(p.training_seconds(), 20, 1e-9);
  EXPECT_EQ(p.seconds_left(-3), 0);
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
