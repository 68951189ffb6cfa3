// Intervals of scaling laws: their size, and that they do not depend on threads.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "apps/scaling/bootstrap.h"

namespace tern {
namespace {

std::vector<ScalingPoint> published_points() {
  return read_table("tests/golden/chinchilla_points.csv").families[0].points;
}

// Besiroglu et al. 2024, 4000 samples: 124.58 (A), 1293.23 (B), 0.03 (E), 0.02, 0.02. So many are
// too many for a test: 300 know a standard error to some 5 %, and that of B, whose distribution has
// a long tail, to 20 %.
TEST(ScalingBootstrap, StandardErrorsOfThePublishedFit) {
  const auto points = published_points();
  const LawFit fit = fit_law(LawKind::chinchilla, weighted(points));
  const auto samples = bootstrap(fit, points, {.samples = 300});
  const double expected[] = {122, 1310, 0.0252, 0.0151, 0.0202};
  const double tolerance[] = {0.2, 0.5, 0.2, 0.2, 0.2};
  for (std::size_t i = 0; i < 5; ++i) {
    const Estimate e =
        estimate(fit.law, samples, [i](const ScalingLaw& law) { return law.values[i]; });
    EXPECT_NEAR(e.standard_error / expected[i], 1, tolerance[i]) << value_names(fit.law.kind)[i];
    EXPECT_TRUE(e.interval.holds(e.value));
    EXPECT_NEAR((e.interval.high - e.interval.low) / e.standard_error, 4, 1);
  }
}

TEST(ScalingBootstrap, ThreadsDoNotMatterSeedsAndStreamsDo) {
  auto points = published_points();
  points.resize(30);
  const LawFit fit = fit_law(LawKind::chinchilla, weighted(points));
  const auto values = [&](int threads, const BootstrapOptions& options) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    std::vector<LawValues> all;
    for (const ScalingLaw& law : bootstrap(fit, points, options)) all.push_back(law.values);
    omp_set_num_threads(before);
    return all;
  };
  for (const double error : {0.0, 0.01}) {
    const auto one = values(1, {.samples = 40, .error = error});
    EXPECT_EQ(one, values(4, {.samples = 40, .error = error}));
    EXPECT_NE(one, values(1, {.samples = 40, .error = error, .seed = 2}));
    EXPECT_NE(one, values(1, {.samples = 40, .error = error, .stream = 1}));
    EXPECT_NE(one[0], one[1]);
  }
}

const std::vector<ScalingPoint> kLine = {{1e8, 1e9, 4}, {1e8, 1e10, 3.5}, {1e9, 1e10, 3}};

// The variance of a uniform number in (-x, x) is x^2 / 3, that of a slope this over the sum of
// squares of log10 C, here 2. The interval is narrower than that of a normal number.
TEST(ScalingBootstrap, ReadingErrorsByHand) {
  const BootstrapOptions options{.samples = 4000, .error = 0.03};
  const LawFit fit = fit_law(LawKind::linear, weighted(kLine));
  const auto samples = bootstrap(fit, kLine, options);
  const Estimate slope =
      estimate(fit.law, samples, [](const ScalingLaw& l) { return l.values[1]; });
  EXPECT_NEAR(slope.value, 0.5, 1e-12);
  EXPECT_NEAR(slope.standard_error, 0.03 / std::sqrt(6), 4e-4);
  // the difference of two uniform numbers, over 2: P(|s| > x) = (1 - x / 0.03)^2
  EXPECT_NEAR(slope.interval.high, 0.5 + 0.03 * (1 - std::sqrt(0.05)), 1e-3);
  EXPECT_NEAR(slope.interval.low, 0.5 - 0.03 * (1 - std::sqrt(0.05)), 1e-3);
}

// The points lie on the line: only the reading error of the new point is left in the middle.
TEST(ScalingBootstrap, PredictionsScatterLikePoints) {
  const LawFit fit = fit_law(LawKind::linear, weighted(kLine));
  const std::vector<ScalingLaw> exact(2000, fit.law);
  const Interval read = central_interval(
      predicted_losses(kLine[1], fit, exact, kLine, {.samples = 2000, .error = 0.1}));
  EXPECT_NEAR(read.low, 3.405, 0.004);
  EXPECT_NEAR(read.high, 3.595, 0.004);

  auto bent = kLine;
  bent[1].loss = 3.8;
  const LawFit rough = fit_law(LawKind::linear, weighted(bent));  // 4.1, 3.6, 3.1: residuals
  const std::vector<ScalingLaw> same(300, rough.law);
  auto losses = predicted_losses({1e9, 1e11, 1}, rough, same, bent, {});  // 2.6
  std::sort(losses.begin(), losses.end());
  EXPECT_NEAR(losses.front(), 2.6 * 3 / 3.1, 1e-9);
  EXPECT_NEAR(losses[150], 2.6 * 4 / 4.1, 1e-9);
  EXPECT_NEAR(losses.back(), 2.6 * 3.8 / 3.6, 1e-9);
}

TEST(ScalingBootstrap, PointsThatCannotDetermineTheLawAreDrawnAgain) {
  std::vector<ScalingPoint> points(6, {1e8, 1e9, 3});
  points[5] = {1e9, 1e9, 2.5};
  const LawFit fit = fit_law(LawKind::power, weighted(points));
  // without drawing again a third of the samples have the last point not at all
  for (const ScalingLaw& law : bootstrap(fit, points, {.samples = 200})) EXPECT_TRUE(law.usable());
}

TEST(ScalingBootstrap, WhichPointsDetermineALaw) {
  std::vector<WeightedPoint> p = {{{1, 1, 1}}, {{1, 1, 2}}};
  EXPECT_FALSE(determine(LawKind::linear, p));
  p.push_back({{1, 2, 1}});
  EXPECT_TRUE(determine(LawKind::linear, p));
  p.push_back({{2, 3, 1}});
  p.push_back({{2, 2, 1}});
  EXPECT_FALSE(determine(LawKind::chinchilla, p));  // two numbers of parameters
  p[0].point.parameters = 3;
  EXPECT_TRUE(determine(LawKind::chinchilla, p));
  p.pop_back();
  EXPECT_FALSE(determine(LawKind::chinchilla, p));  // four points
}

TEST(ScalingBootstrap, QuantilesByHand) {
  const std::vector<double> x = {1, 2, 4};
  EXPECT_EQ(quantile(x, 0), 1);
  EXPECT_EQ(quantile(x, 0.5), 2);
  EXPECT_EQ(quantile(x, 0.75), 3);
  EXPECT_EQ(quantile(x, 1), 4);
  const std::vector<double> far = {-INFINITY, 3, INFINITY, INFINITY};
  EXPECT_EQ(quantile(far, 0), -INFINITY);
  EXPECT_EQ(quantile(far, 1 / 3.0), 3);
  EXPECT_EQ(quantile(far, 0.5), 3);
  EXPECT_EQ(quantile(far, 0.51), INFINITY);
  EXPECT_EQ(quantile(far, 0.1), -INFINITY);
  EXPECT_EQ(quantile(far, 1), INFINITY);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
  const Estimate e = estimate(7, {1, NAN, 3});
  EXPECT_EQ(e.value, 7);
  EXPECT_DOUBLE_EQ(e.standard_error, std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(e.interval.low, 1.05);
}

}  // namespace
}  // namespace tern
