#include "apps/scaling/law.h"

#include <algorithm>
#include <cmath>

#include "apps/scaling/chinchilla.h"
#include "core/check.h"

namespace tern {

std::span<const char* const> value_names(LawKind kind) {
  static constexpr std::array chinchilla = {"A", "B", "E", "alpha", "beta"};
  static constexpr std::array linear = {"c", "s"};
  static constexpr std::array power = {"k", "p"};
  if (kind == LawKind::chinchilla) return chinchilla;
  if (kind == LawKind::linear) return linear;
  return power;
}

const char* formula_of(LawKind kind) {
  if (kind == LawKind::chinchilla) return "L = E + A / N^alpha + B / D^beta";
  if (kind == LawKind::linear) return "L = c - s log10(C), C = 6 N D";
  return "L = k / C^p, C = 6 N D";
}

std::size_t least_points(LawKind kind) {
  return kind == LawKind::chinchilla ? value_names(kind).size() + 1 : value_names(kind).size();
}

double ScalingLaw::loss(double parameters, double tokens) const {
  if (kind != LawKind::chinchilla) return loss_of_flop(6 * parameters * tokens);
  const auto& [A, B, E, alpha, beta] = values;
  return E + A * std::pow(parameters, -alpha) + B * std::pow(tokens, -beta);
}

double ScalingLaw::loss_of_flop(double flop) const {
  if (kind == LawKind::linear) return values[0] - values[1] * std::log10(flop);
  if (kind == LawKind::power) return values[0] * std::pow(flop, -values[1]);
  const ComputeOptimum best = optimum(flop);
  return loss(best.parameters, best.tokens);
}

double ScalingLaw::share_of_parameters() const {
  return values[4] / (values[3] + values[4]);
}

ComputeOptimum ScalingLaw::optimum(double flop) const {
  check(kind == LawKind::chinchilla, "[optimum] expected a chinchilla law");
  const auto& [A, B, E, alpha, beta] = values;
  if (!usable()) return {flop, NAN, NAN};
  const double log_g = (std::log(alpha * A) - std::log(beta * B)) / (alpha + beta);
  const double parameters = std::exp(log_g + share_of_parameters() * std::log(flop / 6));
  return {flop, parameters, flop / 6 / parameters};
}

bool ScalingLaw::usable() const {
  for (const double v : values)
    if (!std::isfinite(v)) return false;
  return kind != LawKind::chinchilla ||
         (values[0] > 0 && values[1] > 0 && values[3] > 0 && values[4] > 0);
}

std::vector<WeightedPoint> weighted(std::span<const ScalingPoint> points) {
  std::vector<WeightedPoint> all;
  for (const ScalingPoint& p : points) all.push_back({p, 1});
  return all;
}

namespace {

// y = intercept + slope x
struct Line {
  double intercept = 0, slope = 0, squares = 0;  // squares: the sum of those that are left
};

template <class X, class Y>
Line least_squares(std::span<const WeightedPoint> points, X x, Y y) {
  double weight = 0, mean_x = 0, mean_y = 0, xx = 0, xy = 0;
  for (const auto& [p, w] : points) {
    weight += w;
    mean_x += w * x(p);
    mean_y += w * y(p);
  }
  mean_x /= weight;
  mean_y /= weight;
  for (const auto& [p, w] : points) {
    xx += w * (x(p) - mean_x) * (x(p) - mean_x);
    xy += w * (x(p) - mean_x) * (y(p) - mean_y);
  }
  Line line{.slope = xy / xx};
  line.intercept = mean_y - line.slope * mean_x;
  for (const auto& [p, w] : points) {
    const double residual = y(p) - line.intercept - line.slope * x(p);
    line.squares += w * residual * residual;
  }
  return line;
}

}  // namespace

LawFit fit_law(LawKind kind, std::span<const WeightedPoint> points) {
  if (kind == LawKind::chinchilla) return fit_chinchilla(points);
  if (kind == LawKind::linear) {
    const Line line = least_squares(
        points, [](const ScalingPoint& p) { return std::log10(p.flop()); },
        [](const ScalingPoint& p) { return p.loss; });
    return {{kind, {line.intercept, -line.slope}}, line.squares};
  }
  const Line line = least_squares(
      points, [](const ScalingPoint& p) { return std::log(p.flop()); },
      [](const ScalingPoint& p) { return std::log(p.loss); });
  return {{kind, {std::exp(line.intercept), -line.slope}}, line.squares};
}

}  // namespace tern
