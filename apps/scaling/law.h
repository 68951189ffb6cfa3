// Scaling laws: the loss of a model as a function of its parameters N and its tokens D, and their
// fit to points.
#pragma once

#include <array>
#include <span>

#include "apps/scaling/table.h"

namespace tern {

enum class LawKind {
  chinchilla,  // L = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, approach 3)
  linear,      // L = c - s log10(C), C = 6 N D
  power,       // L = k / C^p
};

inline constexpr std::size_t kMostLawValues = 5;
using LawValues = std::array<double, kMostLawValues>;

// Names of the values of a law, in the order of ScalingLaw::values: A, B, E, alpha, beta; c, s; k,
// p.
std::span<const char* const> value_names(LawKind kind);
const char* formula_of(LawKind kind);

// The least number of points for a fit: one more than chinchilla has values; 2 for a line.
std::size_t least_points(LawKind kind);

// The best division of an amount of FLOP between parameters and tokens, C = 6 N D.
struct ComputeOptimum {
  double flop = 0, parameters = 0, tokens = 0;
};

struct ScalingLaw {
  LawKind kind = LawKind::chinchilla;
  LawValues values{};

  double loss(double parameters, double tokens) const;
  // The least loss for that many FLOP. NaN for a chinchilla law without an optimum: see usable().
  double loss_of_flop(double flop) const;
  // chinchilla only, in closed form: N = G (C/6)^a, a = beta / (alpha + beta),
  // G = (alpha A / (beta B))^(1 / (alpha + beta)) (Hoffmann et al. 2022, equation 4)
  ComputeOptimum optimum(double flop) const;
  double share_of_parameters() const;  // a, of chinchilla
  bool usable() const;  // every value is finite, and both exponents of chinchilla are above 0
};

// A point with its weight: how often it was drawn.
struct WeightedPoint {
  ScalingPoint point{};
  double weight = 1;
};

struct LawFit {
  ScalingLaw law{};
  // What was minimised. chinchilla: the sum of Huber losses, delta 1e-3, of log(predicted) -
  // log(loss). linear, power: the sum of squares, of the loss or of its logarithm.
  double objective = 0;
  bool converged = true;  // the gradient is zero within rounding
  int steps = 0;          // of the minimisation, those that were refused included
};

// Least squares for linear and power; for chinchilla fit_chinchilla from its grid.
LawFit fit_law(LawKind kind, std::span<const WeightedPoint> points);

// The sum that chinchilla's fit minimises, for any law of that kind.
double huber_objective(const ScalingLaw& law, std::span<const WeightedPoint> points);

std::vector<WeightedPoint> weighted(std::span<const ScalingPoint> points);

}  // namespace tern
