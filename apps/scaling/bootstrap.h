// How far a fit of a scaling law can be trusted: fits to changed points, and what they spread over.
#pragma once

#include <cstdint>

#include "apps/scaling/law.h"

namespace tern {

struct BootstrapOptions {
  int samples = 4000;
  // 0: each sample draws as many points as there are, with replacement. Else the reading error of a
  // loss: each sample adds a uniform number in (-error, error) to every loss.
  double error = 0;
  std::uint64_t seed = 1;
  std::uint64_t stream = 0;  // below 2^24: another one gives independent samples
};

// Whether the points can determine the law: enough of them, and enough different sizes.
bool determine(LawKind kind, std::span<const WeightedPoint> points);

// The law of each sample. Samples of points that cannot determine the law are drawn again.
// chinchilla descends from the fit and from three other starts, the best of the grid. A law may not
// be usable(). The same for any number of threads.
std::vector<ScalingLaw> bootstrap(const LawFit& fit, std::span<const ScalingPoint> points,
                                  const BootstrapOptions& options);

// Losses that a point of so many parameters and tokens may show: the predictions of the samples,
// each with the scatter of one point: a residual of the fit, or a reading error.
std::vector<double> predicted_losses(const ScalingPoint& at, const LawFit& fit,
                                     std::span<const ScalingLaw> samples,
                                     std::span<const ScalingPoint> points,
                                     const BootstrapOptions& options);

struct Interval {
  double low = 0, high = 0;
  bool holds(double x) const { return low <= x && x <= high; }
};

struct Estimate {
  double value = 0, standard_error = 0;
  Interval interval{};  // 95 %: percentiles 2.5 and 97.5
};

// The q-quantile of sorted numbers, interpolated; beside an infinite one the nearer of the two.
double quantile(std::span<const double> sorted, double q);
Interval central_interval(std::vector<double> samples);

// value: of the fit; NaN among the samples does not count
Estimate estimate(double value, std::vector<double> samples);

template <class Quantity>
Estimate estimate(const ScalingLaw& law, std::span<const ScalingLaw> samples, Quantity quantity) {
  std::vector<double> of_samples;
  for (const ScalingLaw& s : samples)
    if (s.usable()) of_samples.push_back(quantity(s));
  return estimate(quantity(law), std::move(of_samples));
}

}  // namespace tern
