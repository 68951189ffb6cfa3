// The fit of L = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, approach 3; Besiroglu et al.
// 2024): the sum of Huber losses of log(predicted) - log(L) is least, from many starts.
#pragma once

#include "apps/scaling/law.h"

namespace tern {

// A start, or an end, of the minimisation: a = log A, b = log B, e = log E.
struct ChinchillaStart {
  double a = 0, b = 0, e = 0, alpha = 0, beta = 0;
};

// The 4500 starts of Hoffmann et al.: a, b in 0, 5 ... 25; e in -1, -0.5 ... 1; alpha, beta in
// 0, 0.5 ... 2.
std::vector<ChinchillaStart> chinchilla_grid();

// The `count` starts with the least objectives.
std::vector<ChinchillaStart> best_starts(std::span<const WeightedPoint> points,
                                         std::span<const ChinchillaStart> starts,
                                         std::size_t count);

// From one start to the minimum below it, by Newton's method with damping in f64.
LawFit descend(std::span<const WeightedPoint> points, const ChinchillaStart& start);

// The least of the minima below the starts. A law that is usable comes before one that is not.
LawFit fit_chinchilla(std::span<const WeightedPoint> points,
                      std::span<const ChinchillaStart> starts);
LawFit fit_chinchilla(std::span<const WeightedPoint> points);  // from the best of the grid

ChinchillaStart start_at(const ScalingLaw& law);

}  // namespace tern
