// The mean of a noisy value over about the last 50 steps: each counts 2 % less than the one after
// it. From the first value on it is a mean of what there is.
#pragma once

#include <limits>

namespace tern {

struct RunningMean {
  static constexpr double kForget = 0.02;

  double sum = 0, weight = 0;

  void add(double value) {
    sum += kForget * (value - sum);
    weight += kForget * (1 - weight);
  }
  double value() const {  // NaN before the first
    return weight > 0 ? sum / weight : std::numeric_limits<double>::quiet_NaN();
  }
};

}  // namespace tern
