#include "apps/scaling/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "apps/scaling/chinchilla.h"
#include "core/check.h"
#include "core/rng.h"

namespace tern {
namespace {

constexpr std::size_t kOtherStarts = 3;

// A stream of random numbers for each sample; `use` keeps its uses apart.
Rng generator(const BootstrapOptions& options, std::uint64_t use, std::size_t sample) {
  return Rng(options.seed, use << 56 | options.stream << 32 | sample);
}

std::size_t draw_index(const Rng& random, std::uint64_t at, std::size_t count) {
  return std::min(count - 1, std::size_t((1 - random.uniform(at)) * double(count)));
}

double reading_error(const Rng& random, std::uint64_t at, double error) {
  return error * (2 * random.uniform(at) - 1);
}

// Points drawn with replacement, as weights. Drawn again where they cannot determine the law.
std::vector<WeightedPoint> drawn_again(LawKind kind, std::span<const ScalingPoint> points,
                                       const Rng& random) {
  constexpr int kMostTries = 1000;
  std::vector<WeightedPoint> drawn;
  std::uint64_t at = 0;
  for (int i = 0; i < kMostTries; ++i) {
    std::vector<int> times(points.size(), 0);
    for (std::size_t k = 0; k < points.size(); ++k)
      ++times[draw_index(random, at++, points.size())];
    drawn.clear();
    for (std::size_t k = 0; k < points.size(); ++k)
      if (times[k] > 0) drawn.push_back({points[k], double(times[k])});
    if (determine(kind, drawn)) break;
  }
  return drawn;
}

std::vector<WeightedPoint> read_again(std::span<const ScalingPoint> points, const Rng& random,
                                      double error) {
  std::vector<WeightedPoint> read = weighted(points);
  for (std::size_t i = 0; i < read.size(); ++i)
    read[i].point.loss += reading_error(random, i, error);
  return read;
}

std::size_t different(std::span<const WeightedPoint> points, double (*of)(const ScalingPoint&)) {
  std::set<double> values;
  for (const WeightedPoint& p : points) values.insert(of(p.point));
  return values.size();
}

}  // namespace

bool determine(LawKind kind, std::span<const WeightedPoint> points) {
  const std::size_t values = value_names(kind).size();
  if (kind != LawKind::chinchilla)
    return different(points, [](const ScalingPoint& p) { return p.flop(); }) >= values;
  constexpr std::size_t kSizes = 3;  // A, alpha and E have to be told apart
  return points.size() >= values &&
         different(points, [](const ScalingPoint& p) { return p.parameters; }) >= kSizes &&
         different(points, [](const ScalingPoint& p) { return p.tokens; }) >= kSizes;
}

std::vector<ScalingLaw> bootstrap(const LawFit& fit, std::span<const ScalingPoint> points,
                                  const BootstrapOptions& options) {
  const LawKind kind = fit.law.kind;
  for (const ScalingPoint& p : points)
    check(p.loss > options.error, "[bootstrap] expected losses above the error of ", options.error,
          ", got ", p.loss);
  std::vector<ChinchillaStart> starts;
  if (kind == LawKind::chinchilla) {
    starts = best_starts(weighted(points), chinchilla_grid(), kOtherStarts);
    starts.push_back(start_at(fit.law));
  }
  std::vector<ScalingLaw> laws(std::size_t(options.samples));
#pragma omp parallel for schedule(dynamic, 16)
  for (std::size_t i = 0; i < laws.size(); ++i) {
    const Rng random = generator(options, 0, i);
    const std::vector<WeightedPoint> sample = options.error > 0
                                                  ? read_again(points, random, options.error)
                                                  : drawn_again(kind, points, random);
    const bool chinchilla = kind == LawKind::chinchilla;
    laws[i] = (chinchilla ? fit_chinchilla(sample, starts) : fit_law(kind, sample)).law;
  }
  return laws;
}

std::vector<double> predicted_losses(const ScalingPoint& at, const LawFit& fit,
                                     std::span<const ScalingLaw> samples,
                                     std::span<const ScalingPoint> points,
                                     const BootstrapOptions& options) {
  std::vector<double> losses;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (!samples[i].usable()) continue;
    const Rng random = generator(options, 1, i);
    const double mean = samples[i].loss(at.parameters, at.tokens);
    const ScalingPoint& p = points[draw_index(random, 0, points.size())];
    losses.push_back(options.error > 0 ? mean + reading_error(random, 0, options.error)
                                       : mean * p.loss / fit.law.loss(p.parameters, p.tokens));
  }
  return losses;
}

double quantile(std::span<const double> sorted, double q) {
  if (sorted.empty()) return NAN;
  const double at = q * double(sorted.size() - 1);
  const std::size_t below = std::size_t(at);
  const double low = sorted[below], high = sorted[std::min(below + 1, sorted.size() - 1)];
  const double share = at - double(below);
  if (low == high || share == 0) return low;
  if (std::isinf(low) || std::isinf(high)) return share > 0.5 ? high : low;
  return low + share * (high - low);
}

Interval central_interval(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return {quantile(samples, 0.025), quantile(samples, 0.975)};
}

Estimate estimate(double value, std::vector<double> samples) {
  std::erase_if(samples, [](double s) { return std::isnan(s); });
  double mean = 0, squares = 0;
  for (const double s : samples) mean += s / double(samples.size());
  for (const double s : samples) squares += (s - mean) * (s - mean);
  const double error = samples.size() > 1 ? std::sqrt(squares / double(samples.size() - 1)) : NAN;
  return {value, error, central_interval(std::move(samples))};
}

}  // namespace tern
