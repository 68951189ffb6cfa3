// The fit of scaling laws: by hand, and on the published points of Hoffmann et al.
#include <gtest/gtest.h>

#include <cmath>

#include "apps/scaling/chinchilla.h"

namespace tern {
namespace {

std::vector<WeightedPoint> published_points() {
  return weighted(read_table("tests/golden/chinchilla_points.csv").families[0].points);
}

// Besiroglu et al. 2024; the optimum of this objective in f64.
TEST(ScalingFit, ReachesThePublishedOptimum) {
  const auto points = published_points();
  ASSERT_EQ(points.size(), 240u);
  const LawFit fit = fit_law(LawKind::chinchilla, points);
  const auto& [A, B, E, alpha, beta] = fit.law.values;
  EXPECT_TRUE(fit.converged);
  EXPECT_LE(fit.objective, 0.0010183);
  EXPECT_NEAR(fit.objective, 0.00101827, 5e-9);
  EXPECT_NEAR(A, 477.8, 0.1);
  EXPECT_NEAR(B, 2143.4, 0.5);
  EXPECT_NEAR(E, 1.81722, 2e-5);
  EXPECT_NEAR(alpha, 0.34731, 2e-5);
  EXPECT_NEAR(beta, 0.36717, 2e-5);
  EXPECT_NEAR(fit.law.share_of_parameters(), 0.5139, 1e-4);
  EXPECT_DOUBLE_EQ(fit.objective, huber_objective(fit.law, points));
}

// what Hoffmann et al. published for these points
TEST(ScalingFit, TheOlderParametersAreFarWorse) {
  const ScalingLaw older{LawKind::chinchilla, {406.4, 410.7, 1.69, 0.34, 0.28}};
  EXPECT_GT(huber_objective(older, published_points()), 4 * 0.00101827);
}

// The fit descends from the 64 best starts of the grid. Every ninetieth of all its 4500 starts
// ends there or in a worse place; so do all of them, as a run by hand has shown.
TEST(ScalingFit, OtherStartsOfTheGridFindNothingBetter) {
  const auto points = published_points();
  const double best = fit_law(LawKind::chinchilla, points).objective;
  const auto grid = chinchilla_grid();
  ASSERT_EQ(grid.size(), 4500u);
  int reached = 0, starts = 0;
  for (std::size_t i = 0; i < grid.size(); i += 90, ++starts) {
    const double objective = descend(points, grid[i]).objective;
    EXPECT_GE(objective, best - 1e-12);
    reached += objective < best + 1e-12;
  }
  EXPECT_GT(reached, starts / 4);
}

// With a wrong second derivative it would take many more.
TEST(ScalingFit, ConvergesInFewSteps) {
  const auto points = published_points();
  const LawFit fit = descend(points, {.a = 6, .b = 7, .e = 0.5, .alpha = 0.35, .beta = 0.35});
  EXPECT_TRUE(fit.converged);
  EXPECT_NEAR(fit.objective, 0.00101827, 5e-9);
  EXPECT_LT(fit.steps, 40);
}

std::vector<WeightedPoint> points_of(const ScalingLaw& law) {
  std::vector<WeightedPoint> points;
  for (const double N : {1e7, 4e7, 2e8, 1e9})
    for (const double D : {3e8, 2e9, 1e10}) points.push_back({{N, D, law.loss(N, D)}, 1});
  return points;
}

TEST(ScalingFit, FindsTheLawThatMadeThePoints) {
  const ScalingLaw law{LawKind::chinchilla, {300, 900, 1.5, 0.3, 0.35}};
  const LawFit fit = fit_law(LawKind::chinchilla, points_of(law));
  EXPECT_TRUE(fit.converged);
  EXPECT_LT(fit.objective, 1e-18);
  for (std::size_t i = 0; i < law.values.size(); ++i)
    EXPECT_NEAR(fit.law.values[i] / law.values[i], 1, 1e-5) << i;
}

// a weight of 2 is the point twice, a weight of 0 no point
TEST(ScalingFit, WeightsCountPoints) {
  auto points = published_points();
  points.resize(40);
  auto twice = points;
  for (std::size_t i = 0; i < 10; ++i) {
    points[i].weight = 2;
    twice.push_back(twice[i]);
  }
  points.push_back({{1e9, 1e9, 9}, 0});
  for (const LawKind kind : {LawKind::chinchilla, LawKind::linear, LawKind::power}) {
    const LawFit x = fit_law(kind, points), y = fit_law(kind, twice);
    EXPECT_NEAR(x.objective / y.objective, 1, 1e-9);
    for (std::size_t i = 0; i < value_names(kind).size(); ++i)
      EXPECT_NEAR(x.law.values[i] / y.law.values[i], 1, 1e-6) << i;
  }
}

TEST(ScalingFit, LinesByHand) {
  // C = 6e10, 6e11, 6e12; log10 C = c0, c0 + 1, c0 + 2
  const std::vector<ScalingPoint> p = {{1e5, 1e5, 4}, {1e5, 1e6, 3.25}, {1e6, 1e6, 3}};
  const LawFit linear = fit_law(LawKind::linear, weighted(p));
  EXPECT_NEAR(linear.law.values[1], 0.5, 1e-12);
  EXPECT_NEAR(linear.law.loss_of_flop(6e11), 10.25 / 3, 1e-12);
  EXPECT_NEAR(linear.objective, 1 / 24.0, 1e-12);  // residuals 1/12, -1/6, 1/12
  const LawFit power = fit_law(LawKind::power, weighted(p));
  EXPECT_NEAR(power.law.values[1], std::log10(4 / 3.0) / 2, 1e-12);
  EXPECT_NEAR(power.law.loss(1e5, 1e6), std::cbrt(4 * 3.25 * 3), 1e-12);
}

// No other division of the FLOP has a lower loss.
TEST(ScalingFit, TheOptimumIsTheLeastLoss) {
  const ScalingLaw law{LawKind::chinchilla, {477.8, 2143.4, 1.81722, 0.34731, 0.36717}};
  for (const double flop : {1e18, 1e21, 5.76e23}) {
    const ComputeOptimum best = law.optimum(flop);
    EXPECT_NEAR(6 * best.parameters * best.tokens / flop, 1, 1e-12);
    const double loss = law.loss_of_flop(flop);
    EXPECT_EQ(loss, law.loss(best.parameters, best.tokens));
    for (const double factor : {0.5, 0.99, 1.01, 2.0})
      EXPECT_LT(loss, law.loss(best.parameters * factor, best.tokens / factor));
  }
  EXPECT_FALSE((ScalingLaw{LawKind::chinchilla, {1, 1, 1, -0.1, 0.3}}.usable()));
}

}  // namespace
}  // namespace tern
