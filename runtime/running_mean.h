// The mean of a noisy value over about the last 1 / forget values: each counts less than the one
// after it by that share. From the first value on it is a mean of what there is.
#pragma once

#include <limits>

namespace tern {

struct RunningMean {
  double forget = 0.02;
  double sum = 0, weight = 0;

  void add(double value) {
    sum += forget * (value - sum);
    weight += forget * (1 - weight);
  }
  double value() const {  // NaN before the first
    return weight > 0 ? sum / weight : std::numeric_limits<double>::quiet_NaN();
  }
};

}  // namespace tern
