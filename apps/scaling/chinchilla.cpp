#include "apps/scaling/chinchilla.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

namespace tern {
namespace {

constexpr double kDelta = 1e-3;  // of the Huber loss
constexpr std::size_t kBestOfGrid = 64;

constexpr std::size_t kValues = 5;
using Vector = std::array<double, kValues>;
using Matrix = std::array<Vector, kValues>;

double huber(double r) {
  const double size = std::abs(r);
  return size <= kDelta ? r * r / 2 : kDelta * (size - kDelta / 2);
}

// Logarithms of the points. x and y are centred, so that a and alpha, b and beta, depend little on
// each other: v = (a - alpha mean_x, alpha, b - beta mean_y, beta, e).
struct Problem {
  struct Point {
    double x, y, log_loss, weight;  // log N, log D
  };
  std::vector<Point> points{};
  double mean_x = 0, mean_y = 0, weight = 0;

  explicit Problem(std::span<const WeightedPoint> from) {
    for (const auto& [p, w] : from) {
      points.push_back({std::log(p.parameters), std::log(p.tokens), std::log(p.loss), w});
      mean_x += w * points.back().x;
      mean_y += w * points.back().y;
      weight += w;
    }
    mean_x /= weight;
    mean_y /= weight;
    for (Point& p : points) {
      p.x -= mean_x;
      p.y -= mean_y;
    }
  }

  Vector centred(const ChinchillaStart& s) const {
    return {s.a - s.alpha * mean_x, s.alpha, s.b - s.beta * mean_y, s.beta, s.e};
  }
  LawValues values(const Vector& v) const {
    return {std::exp(v[0] + v[1] * mean_x), std::exp(v[2] + v[3] * mean_y), std::exp(v[4]), v[1],
            v[3]};
  }
};

// The three terms of the law at a point, as shares of their sum, and the logarithm of the sum.
struct Terms {
  double log_sum;
  std::array<double, 3> share;

  Terms(const Vector& v, const Problem::Point& p) {
    const std::array<double, 3> u = {v[0] - v[1] * p.x, v[2] - v[3] * p.y, v[4]};
    const double top = std::max({u[0], u[1], u[2]});
    double sum = 0;
    for (std::size_t i = 0; i < 3; ++i) sum += share[i] = std::exp(u[i] - top);
    for (double& s : share) s /= sum;
    log_sum = top + std::log(sum);
  }
};

double objective(const Problem& problem, const Vector& v) {
  double sum = 0;
  for (const Problem::Point& p : problem.points)
    sum += p.weight * huber(Terms(v, p).log_sum - p.log_loss);
  return sum;
}

struct Derivatives {
  double objective = 0;
  Vector gradient{};
  Matrix hessian{};  // generalised: the Huber loss has no second derivative at +-delta
};

Derivatives derivatives(const Problem& problem, const Vector& v) {
  Derivatives d;
  for (const Problem::Point& p : problem.points) {
    const Terms terms(v, p);
    const auto& s = terms.share;
    const double r = terms.log_sum - p.log_loss;
    const double slope = p.weight * std::clamp(r, -kDelta, kDelta);
    const double curve = std::abs(r) <= kDelta ? p.weight : 0;
    d.objective += p.weight * huber(r);
    // term k = scale[k] of the values of[k]
    constexpr std::array<std::size_t, kValues> term = {0, 0, 1, 1, 2};
    const Vector scale = {1, -p.x, 1, -p.y, 1};
    for (std::size_t i = 0; i < kValues; ++i) {
      const double si = s[term[i]];
      d.gradient[i] += slope * si * scale[i];
      for (std::size_t j = 0; j <= i; ++j) {
        const double sj = s[term[j]];
        const double bend = (term[i] == term[j] ? si : 0) - si * sj;
        d.hessian[i][j] += (curve * si * sj + slope * bend) * scale[i] * scale[j];
      }
    }
  }
  return d;
}

// The step p with (H + damping I) p = -g, by Cholesky's method; nothing if that matrix is not
// positive definite. Only the lower half of H is read.
std::optional<Vector> damped_step(const Derivatives& d, double damping) {
  Matrix l{};
  for (std::size_t i = 0; i < kValues; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = d.hessian[i][j] + (i == j ? damping : 0);
      for (std::size_t k = 0; k < j; ++k) sum -= l[i][k] * l[j][k];
      if (i == j && !(sum > 1e-14 * (std::abs(d.hessian[i][i]) + damping))) return {};
      l[i][j] = i == j ? std::sqrt(sum) : sum / l[j][j];
    }
  Vector p{};
  for (std::size_t i = 0; i < kValues; ++i) {
    p[i] = -d.gradient[i];
    for (std::size_t k = 0; k < i; ++k) p[i] -= l[i][k] * p[k];
    p[i] /= l[i][i];
  }
  for (std::size_t i = kValues; i-- > 0;) {
    for (std::size_t k = i + 1; k < kValues; ++k) p[i] -= l[k][i] * p[k];
    p[i] /= l[i][i];
  }
  return p;
}

// that the quadratic model promises
double promised_decrease(const Derivatives& d, const Vector& p) {
  double decrease = 0;
  for (std::size_t i = 0; i < kValues; ++i) {
    decrease -= d.gradient[i] * p[i] + d.hessian[i][i] * p[i] * p[i] / 2;
    for (std::size_t j = 0; j < i; ++j) decrease -= d.hessian[i][j] * p[i] * p[j];
  }
  return decrease;
}

double largest(const Vector& v) {
  double most = 0;
  for (const double x : v) most = std::max(most, std::abs(x));
  return most;
}

}  // namespace

std::vector<ChinchillaStart> chinchilla_grid() {
  std::vector<ChinchillaStart> grid;
  for (int a = 0; a <= 25; a += 5)
    for (int b = 0; b <= 25; b += 5)
      for (int e = -2; e <= 2; ++e)
        for (int alpha = 0; alpha <= 4; ++alpha)
          for (int beta = 0; beta <= 4; ++beta)
            grid.push_back({double(a), double(b), e / 2.0, alpha / 2.0, beta / 2.0});
  return grid;
}

std::vector<ChinchillaStart> best_starts(std::span<const WeightedPoint> points,
                                         std::span<const ChinchillaStart> starts,
                                         std::size_t count) {
  const Problem problem(points);
  std::vector<double> objectives(starts.size());
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < starts.size(); ++i)
    objectives[i] = objective(problem, problem.centred(starts[i]));
  std::vector<std::size_t> order(starts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t i, std::size_t j) { return objectives[i] < objectives[j]; });
  std::vector<ChinchillaStart> best;
  for (std::size_t i = 0; i < std::min(count, order.size()); ++i) best.push_back(starts[order[i]]);
  return best;
}

LawFit descend(std::span<const WeightedPoint> points, const ChinchillaStart& start) {
  constexpr int kMostSteps = 300;
  constexpr double kLeast = 1e-14, kMost = 1e8;  // of the damping, relative to the weight
  const Problem problem(points);
  // the gradient is a sum of `weight` terms of at most delta: this is its rounding
  const double flat = 1e-12 * kDelta * problem.weight;
  Vector v = problem.centred(start);
  Derivatives d = derivatives(problem, v);
  double damping = 1e-3;
  int steps = 0;
  for (; largest(d.gradient) > flat && steps < kMostSteps && damping < kMost; ++steps) {
    const std::optional<Vector> p = damped_step(d, damping * problem.weight * kDelta);
    if (!p || largest(*p) > 10) {
      damping = std::max(4 * damping, kLeast);
      continue;
    }
    Vector there = v;
    for (std::size_t i = 0; i < kValues; ++i) there[i] += (*p)[i];
    const Derivatives next = derivatives(problem, there);
    const double promised = promised_decrease(d, *p), decrease = d.objective - next.objective;
    // below the rounding of the objective the gradient decides
    const bool tiny = promised < 1e-13 * d.objective;
    const bool better =
        tiny ? largest(next.gradient) < largest(d.gradient) : decrease > 1e-4 * promised;
    if (!better) {
      damping = std::max(4 * damping, kLeast);
      continue;
    }
    if (tiny || decrease > 0.5 * promised) damping = damping < kLeast ? 0 : damping / 5;
    if (!tiny && decrease < 0.1 * promised) damping *= 2;
    v = there;
    d = next;
  }
  return {.law = {LawKind::chinchilla, problem.values(v)},
          .objective = d.objective,
          .converged = largest(d.gradient) <= 1e3 * flat,
          .steps = steps};
}

LawFit fit_chinchilla(std::span<const WeightedPoint> points,
                      std::span<const ChinchillaStart> starts) {
  std::vector<LawFit> fits(starts.size());
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t i = 0; i < starts.size(); ++i) fits[i] = descend(points, starts[i]);
  return *std::min_element(fits.begin(), fits.end(), [](const LawFit& x, const LawFit& y) {
    if (x.law.usable() != y.law.usable()) return x.law.usable();
    return x.objective < y.objective;
  });
}

LawFit fit_chinchilla(std::span<const WeightedPoint> points) {
  return fit_chinchilla(points, best_starts(points, chinchilla_grid(), kBestOfGrid));
}

ChinchillaStart start_at(const ScalingLaw& law) {
  const auto& [A, B, E, alpha, beta] = law.values;
  return {std::log(A), std::log(B), std::log(E), alpha, beta};
}

double huber_objective(const ScalingLaw& law, std::span<const WeightedPoint> points) {
  const Problem problem(points);
  return objective(problem, problem.centred(start_at(law)));
}

}  // namespace tern
