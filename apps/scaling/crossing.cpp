#include "apps/scaling/crossing.h"

#include <algorithm>
#include <cmath>

namespace tern {
namespace {

// The crossing between two places, in log10 FLOP, where `better` is false and true.
template <class Better>
double bisect(double worse, double better_at, Better better) {
  for (int i = 0; i < 60; ++i) {
    const double middle = (worse + better_at) / 2;
    (better(middle) ? better_at : worse) = middle;
  }
  return better_at;
}

bool cross(double flop) {
  return flop > 0 && std::isfinite(flop);
}

// in decades; infinity if there is no crossing
double distance(double flop, FlopRange data) {
  if (!cross(flop)) return INFINITY;
  return std::max({0.0, std::log10(data.low / flop), std::log10(flop / data.high)});
}

// The family that overtakes in the fits: 0, the first, or 1.
std::size_t choose_overtaking(const ScalingLaw& first, const ScalingLaw& second, FlopRange data) {
  const double of_first = overtaking_flop(first, second),
               of_second = overtaking_flop(second, first);
  const double first_far = distance(of_first, data), second_far = distance(of_second, data);
  if (first_far != second_far) return first_far < second_far ? 0 : 1;
  if (cross(of_first)) return of_first > of_second ? 0 : 1;
  return first.loss_of_flop(data.high) > second.loss_of_flop(data.high) ? 0 : 1;
}

// of the interval, in decades
double share_outside(Interval flop, FlopRange data) {
  const double most = std::log10(kMostCrossing), least = std::log10(kLeastCrossing);
  const double low = std::clamp(std::log10(flop.low), least, most),
               high = std::clamp(std::log10(flop.high), least, most);
  const double begin = std::log10(data.low) - 1, end = std::log10(data.high) + 1;
  if (high <= low) return low < begin || low > end || std::isinf(flop.low) ? 1 : 0;
  return 1 - std::max(0.0, std::min(high, end) - std::max(low, begin)) / (high - low);
}

}  // namespace

double overtaking_flop(const ScalingLaw& overtaking, const ScalingLaw& overtaken) {
  constexpr int kSteps = 400;  // of a tenth of a decade
  const auto better = [&](double log_flop) {
    const double flop = std::pow(10, log_flop);
    return overtaking.loss_of_flop(flop) < overtaken.loss_of_flop(flop);
  };
  const double least = std::log10(kLeastCrossing), most = std::log10(kMostCrossing);
  double last = least;
  bool was = better(least);
  for (int i = 1; i <= kSteps; ++i) {
    const double here = least + (most - least) * i / kSteps;
    const bool is = better(here);
    if (is && !was) return std::pow(10, bisect(last, here, better));
    last = here;
    was = is;
  }
  return was ? 0 : INFINITY;
}

Crossing find_crossing(const FittedLaw& first, const FittedLaw& second, FlopRange data) {
  const FittedLaw* const laws[] = {&first, &second};
  Crossing c;
  c.overtaking = choose_overtaking(first.law, second.law, data);
  c.overtaken = 1 - c.overtaking;
  c.flop = overtaking_flop(laws[c.overtaking]->law, laws[c.overtaken]->law);
  const auto &ours = laws[c.overtaking]->samples, &theirs = laws[c.overtaken]->samples;
  const std::size_t count = std::min(ours.size(), theirs.size());
  std::vector<double> all(count, NAN);
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < count; ++i)
    if (ours[i].usable() && theirs[i].usable())
      all[i] = std::log10(overtaking_flop(ours[i], theirs[i]));
  std::erase_if(all, [](double log_flop) { return std::isnan(log_flop); });
  std::sort(all.begin(), all.end());
  c.pairs = all.size();
  c.probability = double(std::count_if(all.begin(), all.end(),
                                       [](double log_flop) { return std::isfinite(log_flop); })) /
                  double(c.pairs);
  c.median = std::pow(10, quantile(all, 0.5));
  c.interval = {std::pow(10, quantile(all, 0.025)), std::pow(10, quantile(all, 0.975))};
  c.outside = share_outside(c.interval, data);
  return c;
}

}  // namespace tern
