#include "apps/bench/samples.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"

namespace tern {

double Samples::quantile(double share) const {
  check(!values_.empty(), "[Samples] expected at least one measurement");
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  const double at = share * double(sorted.size() - 1);
  const std::size_t below = std::size_t(at), above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - double(below)) * (sorted[above] - sorted[below]);
}

double Samples::sum() const {
  return std::accumulate(values_.begin(), values_.end(), 0.0);
}

}  // namespace tern
