// Where one family overtakes another, and whether the data can tell.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "apps/scaling/crossing.h"
#include "apps/scaling/report.h"

namespace tern {
namespace {

using testing::HasSubstr;

ScalingLaw power(double loss_at_1e20, double exponent) {
  return {LawKind::power, {loss_at_1e20 * std::pow(1e20, exponent), exponent}};
}

ScalingLaw line(double loss_at_1e20, double slope) {
  return {LawKind::linear, {loss_at_1e20 + 20 * slope, slope}};
}

constexpr FlopRange kData = {1e18, 1e21};

TEST(ScalingCrossing, LinesAndPowersInClosedForm) {
  // 3 - 0.4 x = 2.9 - 0.35 x at x = 2
  EXPECT_NEAR(overtaking_flop(line(3, 0.4), line(2.9, 0.35)) / 1e22, 1, 1e-9);
  EXPECT_EQ(overtaking_flop(line(2.9, 0.35), line(3, 0.4)), INFINITY);
  // they part: the other way round they have crossed at 1e14
  EXPECT_EQ(overtaking_flop(line(3, 0.35), line(2.7, 0.4)), INFINITY);
  EXPECT_NEAR(overtaking_flop(line(2.7, 0.4), line(3, 0.35)) / 1e14, 1, 1e-9);
  EXPECT_EQ(overtaking_flop(line(2.7, 0.4), line(3, 0.4)), 0);
  EXPECT_EQ(overtaking_flop(line(3, 0.4), line(2.7, 0.4)), INFINITY);
  // 3 C^-0.06 = 2.7 C^-0.05, C in units of 1e20
  const double flop = 1e20 * std::pow(3 / 2.7, 1 / 0.01);
  EXPECT_NEAR(overtaking_flop(power(3, 0.06), power(2.7, 0.05)) / flop, 1, 1e-9);
  // at 1e44: too far
  EXPECT_EQ(overtaking_flop(line(3, 0.4), line(2.76, 0.39)), INFINITY);
}

// A lower E wins at the far end, a faster fall in the middle: equal twice, overtaken once each way.
TEST(ScalingCrossing, LawsThatCrossTwiceOvertakeOnceEachWay) {
  const ScalingLaw low_e{LawKind::chinchilla, {500, 2000, 1.5, 0.34, 0.35}};
  const ScalingLaw fast{LawKind::chinchilla, {9000, 30000, 1.7, 0.52, 0.52}};
  const double late = overtaking_flop(low_e, fast), early = overtaking_flop(fast, low_e);
  EXPECT_GT(early, 1e12);
  EXPECT_GT(late, 1e3 * early);
  EXPECT_LT(late, 1e30);
  const auto gap = [&](double flop) { return low_e.loss_of_flop(flop) - fast.loss_of_flop(flop); };
  EXPECT_GT(gap(late * 0.999), 0);
  EXPECT_LT(gap(late * 1.001), 0);
  EXPECT_LT(gap(early * 0.999), 0);
  EXPECT_GT(gap(early * 1.001), 0);
}

// of the two crossings of the laws above
TEST(ScalingCrossing, TheCrossingNearestToTheDataCounts) {
  const ScalingLaw low_e{LawKind::chinchilla, {500, 2000, 1.5, 0.34, 0.35}};
  const ScalingLaw fast{LawKind::chinchilla, {9000, 30000, 1.7, 0.52, 0.52}};
  const double late = overtaking_flop(low_e, fast), early = overtaking_flop(fast, low_e);
  const auto crossing = [&](FlopRange data) {
    const std::vector<ScalingLaw> one = {low_e}, two = {fast};
    return find_crossing({low_e, one}, {fast, two}, data).flop;
  };
  EXPECT_EQ(crossing({late / 100, late * 10}), late);
  EXPECT_EQ(crossing({late * 10, late * 100}), late);
  EXPECT_EQ(crossing({early / 10, early * 10}), early);
  EXPECT_EQ(crossing({early / 100, early / 10}), early);
  EXPECT_EQ(crossing({early / 10, late * 10}), late);
  EXPECT_EQ(crossing({late / 100, late / 10}), late);  // one decade above, early is further below
}

struct Samples {
  std::vector<ScalingLaw> first{}, second{};
};

// pairs of lines that cross at 1e20 10^decades
Samples crossing_at(const std::vector<double>& decades) {
  Samples s;
  for (const double d : decades) {
    s.first.push_back(line(3, 0.4));
    s.second.push_back(std::isfinite(d) ? line(3 - 0.1 * d, 0.3) : line(d < 0 ? 3.1 : 2.9, 0.4));
  }
  return s;
}

TEST(ScalingCrossing, PairsThatDoNotCrossCountAsFar) {
  const Samples s = crossing_at({1, 2, INFINITY, 3, INFINITY});
  const Crossing c = find_crossing({line(3, 0.4), s.first}, {line(2.8, 0.3), s.second}, kData);
  EXPECT_EQ(c.overtaking, 0u);
  EXPECT_NEAR(c.flop / 1e22, 1, 1e-9);
  EXPECT_NEAR(c.median / 1e23, 1, 1e-9);
  EXPECT_NEAR(std::log10(c.interval.low), 21.1, 1e-9);
  EXPECT_EQ(c.interval.high, INFINITY);
  EXPECT_DOUBLE_EQ(c.probability, 0.6);
  EXPECT_EQ(c.pairs, 5u);
  EXPECT_NEAR(c.outside, 1 - 0.9 / 18.9, 1e-9);  // 21.1 to 40, the data and a decade end at 22
  EXPECT_FALSE(c.determinable());
}

TEST(ScalingCrossing, TheOrderOfTheFamiliesDoesNotMatter) {
  const Samples s = crossing_at({-0.5, 0, 0.5});
  const Crossing ours = find_crossing({line(3, 0.4), s.first}, {line(3, 0.3), s.second}, kData),
                 other = find_crossing({line(3, 0.3), s.second}, {line(3, 0.4), s.first}, kData);
  EXPECT_EQ(ours.overtaking, 0u);
  EXPECT_EQ(other.overtaking, 1u);
  EXPECT_EQ(ours.flop, other.flop);
  EXPECT_EQ(ours.interval.low, other.interval.low);
  EXPECT_EQ(ours.outside, 0);
  EXPECT_TRUE(ours.determinable());
}

TEST(ScalingCrossing, UnusableSamplesAreLeftOut) {
  Samples s = crossing_at({1, 2, 3});
  s.second[1].values[0] = NAN;
  const Crossing c = find_crossing({line(3, 0.4), s.first}, {line(3, 0.3), s.second}, kData);
  EXPECT_EQ(c.pairs, 2u);
  EXPECT_EQ(c.probability, 1);
}

std::string verdict(const std::vector<double>& decades, double fit = 0) {
  const Samples s = crossing_at(decades);
  ScalingAnalysis a{.families = {{.name = "new"}, {.name = "old"}}};
  const Samples fits = crossing_at({fit});
  a.crossings = {
      {0, 1, kData, find_crossing({fits.first[0], s.first}, {fits.second[0], s.second}, kData)}};
  return verdict_of(a.crossings[0], a);
}

TEST(ScalingCrossing, Verdicts) {
  EXPECT_EQ(verdict({0, 0, 0}), "new overtakes old at 1e+20 FLOP (95 %: 1e+20 to 1e+20)");
  EXPECT_THAT(verdict({1, 1.9}), HasSubstr("new overtakes old at 2.82e+21 FLOP"));
  EXPECT_EQ(verdict({5, 5, 5}),
            "not determinable: the data end at 1e+21 FLOP, the 95 % interval reaches 1e+25 FLOP");
  EXPECT_EQ(verdict({1, INFINITY}),
            "not determinable: the data end at 1e+21 FLOP, the 95 % interval reaches beyond 1e+40 "
            "FLOP");
  EXPECT_EQ(verdict({-6, -6}, -6),
            "not determinable: the data begin at 1e+18 FLOP, the 95 % interval begins at 1e+14 "
            "FLOP");
  EXPECT_EQ(verdict({INFINITY, INFINITY}, INFINITY),
            "no crossing: old has the lower loss from 1 to 1e+40 FLOP in 100.0 % of the samples");
}

ScalingFamily read_off(const char* name, double small, double middle, double large) {
  return {name, {{0.37e9, 15e9, small}, {1.3e9, 100e9, middle}, {2.7e9, 100e9, large}}};
}

ScalingAnalysis paper(LawKind law, double error, int samples) {
  ScalingTable table;
  table.families = {read_off("MatMul-free", 2.90, 2.37, 2.20),
                    read_off("Transformer++", 2.63, 2.15, 2.09)};
  return analyse(table, {.law = law, .bootstrap = {.samples = samples, .error = error}}, "paper");
}

// Zhu et al. 2024, losses read off their figure to +-0.03: the crossing depends on the law, and
// lies beyond the data.
TEST(ScalingCrossing, ThreePointsOfAFigureByALine) {
  const Crossing c = paper(LawKind::linear, 0.03, 20000).crossings.at(0).crossing;
  EXPECT_EQ(c.overtaking, 0u);
  EXPECT_NEAR(c.flop / 1.334e23, 1, 1e-3);
  EXPECT_NEAR(c.interval.low / 1.7e22, 1, 0.05);
  EXPECT_NEAR(c.interval.high / 4.2e25, 1, 0.3);
  EXPECT_GT(c.probability, 0.999);
  EXPECT_FALSE(c.determinable());
}

TEST(ScalingCrossing, ThreePointsOfAFigureByAPower) {
  const ScalingAnalysis analysis = paper(LawKind::power, 0.03, 20000);
  const Crossing& c = analysis.crossings.at(0).crossing;
  EXPECT_NEAR(c.flop / 6.07e24, 1, 1e-2);
  EXPECT_GT(c.interval.high, 1e30);
  EXPECT_NEAR(c.probability, 0.974, 0.01);
  EXPECT_THAT(verdict_of(analysis.crossings[0], analysis),
              HasSubstr("not determinable: the data end at 1.62e+21 FLOP"));
}

// A standard deviation of 0.03 would be 0.052 here: the interval is much wider. Half the error: it
// is narrower.
TEST(ScalingCrossing, TheReadingErrorDecidesTheInterval) {
  const auto high = [](double error) {
    return paper(LawKind::linear, error, 4000).crossings[0].crossing.interval.high;
  };
  EXPECT_GT(high(0.052), 1e30);
  EXPECT_LT(high(0.015), 5e24);
}

}  // namespace
}  // namespace tern
