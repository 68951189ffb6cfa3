#include "optim/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <string>

#include "core/check.h"

namespace tern {
namespace {

using testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

void expect_values(const Schedule& schedule, const std::vector<double>& expected) {
  for (std::size_t step = 0; step < expected.size(); ++step)
    EXPECT_NEAR(schedule.at(std::int64_t(step)), expected[step], 1e-9) << "step " << step;
}

// Worked out by hand; cos(pi/4) = 0.70710678, sqrt(1/2) likewise. The last value is that of
// `total`.
TEST(Schedule, TableOfHandComputedValues) {
  expect_values(make_schedule(ConstantSchedule{.total = 4, .warmup = 2}), {0.5, 1, 1, 1, 1, 1});
  expect_values(make_schedule(CosineSchedule{.total = 8, .warmup = 4, .floor = 0.1}),
                {0.25, 0.5, 0.75, 1, 1, 0.868198052, 0.55, 0.231801948, 0.1, 0.1});
  expect_values(make_schedule(CosineSchedule{.total = 4}), {1, 0.853553391, 0.5, 0.146446609, 0});
  expect_values(make_schedule(CosineHalvedSchedule{.total = 5, .warmup = 1, .middle = 3}),
                {1, 1, 0.853553391, 0.25, 0.073223305, 0});
  expect_values(
      make_schedule(CosineHalvedSchedule{.total = 5, .warmup = 1, .floor = 0.2, .middle = 2}),
      {1, 1, 0.441421356, 0.3, 0.158578644, 0.1});
  expect_values(make_schedule(TwoStageSchedule{.total = 9,
                                               .warmup = 1,
                                               .floor = 0,
                                               .middle = 5,
                                               .first_stage_end = 0.6,
                                               .second_stage_start = 0.4}),
                {1, 1, 0.9, 0.8, 0.7, 0.4, 0.3, 0.2, 0.1, 0});
  const WsdSchedule wsd{
      .total = 7, .warmup = 2, .floor = 0.2, .decay = 4, .curve = SegmentCurve::linear};
  expect_values(make_schedule(wsd), {0.5, 1, 1, 1, 0.8, 0.6, 0.4, 0.2});
  WsdSchedule curved = wsd;
  curved.curve = SegmentCurve::sqrt;
  expect_values(make_schedule(curved), {0.5, 1, 1, 1, 0.6, 0.434314575, 0.307179677, 0.2});
  curved.curve = SegmentCurve::cosine;
  expect_values(make_schedule(curved), {0.5, 1, 1, 1, 0.882842712, 0.6, 0.317157288, 0.2});
}

TEST(Schedule, CosineIsTheStatedFormula) {
  const std::int64_t warm = 37, total = 1001;
  const double m = 0.1;
  const Schedule schedule =
      make_schedule(CosineSchedule{.total = total, .warmup = warm, .floor = m});
  for (std::int64_t s = 0; s < total; ++s) {
    const double phase = std::numbers::pi * double(s - warm) / double(total - warm);
    const double expected =
        s < warm ? double(s + 1) / double(warm) : m + (1 - m) * (1 + std::cos(phase)) / 2;
    EXPECT_NEAR(schedule.at(s), expected, 4e-16) << "step " << s;
  }
  EXPECT_EQ(schedule.steps(), total);
}

TEST(Schedule, HalvedCosineIsTheCosineAndThenHalfOfIt) {
  const Schedule whole = make_schedule(CosineSchedule{.total = 900, .warmup = 50, .floor = 0.1});
  const Schedule halved =
      make_schedule(CosineHalvedSchedule{.total = 900, .warmup = 50, .floor = 0.1, .middle = 450});
  for (std::int64_t s = 0; s <= 900; ++s)
    EXPECT_NEAR(halved.at(s), whole.at(s) * (s < 450 ? 1 : 0.5), 1e-15) << "step " << s;
}

TEST(Schedule, JoinsAreContinuousWhereTheFactorsAgree) {
  const std::int64_t n = 1'000'000;  // a step moves less than 1e-3 even on the square root
  const Schedule schedule({{SegmentCurve::linear, 0, 1, n},
                           {SegmentCurve::constant, 1, 1, 2 * n},
                           {SegmentCurve::cosine, 1, 0.5, 3 * n},
                           {SegmentCurve::sqrt, 0.5, 0, 4 * n}});
  for (const std::int64_t join : {n, 2 * n, 3 * n, 4 * n})
    EXPECT_NEAR(schedule.at(join - 1), schedule.at(join), 1e-3) << "join at " << join;
  EXPECT_EQ(schedule.at(0), 0);
  EXPECT_EQ(schedule.at(n), 1);
  EXPECT_EQ(schedule.at(3 * n), 0.5);
  EXPECT_EQ(schedule.at(4 * n), 0);
  EXPECT_EQ(schedule.at(100 * n), 0);
}

TEST(Schedule, WarmUpOfNoneAndOfOneStep) {
  EXPECT_EQ(make_schedule(CosineSchedule{.total = 2, .warmup = 0}).at(0), 1);
  EXPECT_EQ(make_schedule(CosineSchedule{.total = 2, .warmup = 1}).at(0), 1);
  EXPECT_EQ(make_schedule(CosineSchedule{.total = 2, .warmup = 1}).at(1), 1);
  EXPECT_EQ(make_schedule(ConstantSchedule{.total = 1}).at(0), 1);
}

TEST(Schedule, WeightDecayOffFromTheMiddle) {
  const Schedule decay({{SegmentCurve::constant, 1, 1, 5}, {SegmentCurve::constant, 0, 0, 10}});
  expect_values(decay, {1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0});
}

std::string complaint(const std::function<void()>& make) {
  try {
    make();
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::usage);
    return e.what();
  }
  return "no error";
}

std::string complaint(std::vector<ScheduleSegment> segments) {
  return complaint([&] { Schedule{segments}; });
}

TEST(Schedule, BadSegmentsAreNamed) {
  EXPECT_THAT(complaint(std::vector<ScheduleSegment>{}),
              HasSubstr("at least one segment, got none"));
  // each segment begins where the last one ended: a gap cannot be written, an overlap can
  EXPECT_THAT(complaint({{SegmentCurve::constant, 1, 1, 5}, {SegmentCurve::linear, 1, 0, 5}}),
              HasSubstr("segment 1: expected an end after step 5, got 5"));
  EXPECT_THAT(complaint({{SegmentCurve::constant, 1, 1, 5}, {SegmentCurve::linear, 1, 0, 3}}),
              HasSubstr("segment 1: expected an end after step 5, got 3"));
  EXPECT_THAT(complaint({{SegmentCurve::constant, 1, 1, -1}}), HasSubstr("after step 0, got -1"));
  EXPECT_THAT(complaint({{SegmentCurve::linear, -0.5, 1, 5}}), HasSubstr("start >= 0, got -0.5"));
  EXPECT_THAT(complaint({{SegmentCurve::linear, 1, -1, 5}}), HasSubstr("end value >= 0, got -1"));
  EXPECT_THAT(complaint({{SegmentCurve::linear, kNan, 1, 5}}), HasSubstr("got nan"));
  EXPECT_THAT(complaint({{SegmentCurve::linear, 1, kInfinity, 5}}), HasSubstr("got inf"));
  EXPECT_THAT(complaint({{SegmentCurve::constant, 1, 0.5, 5}}),
              HasSubstr("a constant has one value"));
  EXPECT_THAT(complaint({{SegmentCurve::cosine, 1, 0, 5, 0.5, 1.5}}), HasSubstr("within 0 to 1"));
  EXPECT_THAT(complaint({{SegmentCurve::cosine, 1, 0, 5, kNan, 1}}), HasSubstr("within 0 to 1"));
}

TEST(Schedule, LengthsThatDoNotFitAreNamed) {
  const auto of = [](auto shape) { return complaint([&] { make_schedule(shape); }); };
  EXPECT_THAT(of(CosineSchedule{.total = 0}), HasSubstr("at least one step, got 0"));
  EXPECT_THAT(of(CosineSchedule{.total = 10, .warmup = 10}),
              HasSubstr("a warm-up shorter than the run of 10 steps, got 10"));
  EXPECT_THAT(of(CosineSchedule{.total = 10, .warmup = -1}), HasSubstr("got -1"));
  EXPECT_THAT(of(CosineSchedule{.total = 10, .floor = kNan}), HasSubstr("got nan"));
  EXPECT_THAT(
      of(CosineHalvedSchedule{.total = 10, .warmup = 2, .middle = 2}),
      HasSubstr("a middle between the warm-up's end (step 2) and the run's (step 10), got 2"));
  EXPECT_THAT(of(TwoStageSchedule{.total = 10, .middle = 10}), HasSubstr("(step 10), got 10"));
  EXPECT_THAT(of(WsdSchedule{.total = 10, .warmup = 2, .decay = 9}),
              HasSubstr("a decay of 1 to 8 steps (what the warm-up leaves), got 9"));
  EXPECT_THAT(of(WsdSchedule{.total = 10, .decay = 0}), HasSubstr("got 0"));
  EXPECT_THAT(of(WsdSchedule{.total = 10, .decay = 5, .curve = SegmentCurve::constant}),
              HasSubstr("linear, cosine or sqrt"));
  EXPECT_EQ(of(WsdSchedule{.total = 10, .warmup = 2, .decay = 8}), "no error");
}

TEST(Schedule, AStepBeforeTheRunIsABug) {
  EXPECT_THROW(make_schedule(ConstantSchedule{.total = 1}).at(-1), Error);
}

}  // namespace
}  // namespace tern
