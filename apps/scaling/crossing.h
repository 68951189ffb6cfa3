// Where one family's loss falls below another's, over the FLOP of training, and whether the data
// can tell.
#pragma once

#include "apps/scaling/bootstrap.h"

namespace tern {

// FLOP between which crossings are searched.
inline constexpr double kLeastCrossing = 1, kMostCrossing = 1e40;

struct FlopRange {
  double low = 0, high = 0;
};

// The FLOP at which `overtaking` comes to have the lower loss. There is at most one such place: the
// losses of two laws are equal at most twice, once in each direction. Infinity: nowhere up to
// kMostCrossing. 0: it has the lower loss from kLeastCrossing on.
double overtaking_flop(const ScalingLaw& overtaking, const ScalingLaw& overtaken);

struct FittedLaw {
  ScalingLaw law{};
  std::span<const ScalingLaw> samples{};
};

struct Crossing {
  std::size_t overtaking = 0, overtaken = 0;  // 0: the first family, 1: the second
  double flop = 0;                            // of the fits: overtaking_flop()
  double median = 0;                          // over pairs of samples; may be 0 or infinity
  Interval interval{};                        // 95 %, likewise
  double probability = 0;                     // that they cross within the search, of all pairs
  std::size_t pairs = 0;                      // of usable samples
  // The share of the interval, in decades, that lies further than one decade outside the data.
  double outside = 0;

  bool determinable() const { return outside <= kMostOutside; }
  static constexpr double kMostOutside = 0.25;
};

// Sample i of the first is compared with sample i of the second. The crossing is that of the fits
// which is nearest to the data: the later of two inside them; where the fits do not cross, the
// family that overtakes would be the one with the higher loss at data.high. A pair that does not
// cross counts as infinity, or as 0 where the overtaking family is always better.
Crossing find_crossing(const FittedLaw& first, const FittedLaw& second, FlopRange data);

}  // namespace tern
