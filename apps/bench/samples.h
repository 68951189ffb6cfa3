// Repeated measurements of one quantity, and the clock they are taken with.
#pragma once

#include <algorithm>
#include <chrono>
#include <numeric>
#include <vector>

#include "core/check.h"

namespace tern {

// Order statistics of repeated measurements; at least one must have been added.
class Samples {
 public:
  void add(double value) { values_.push_back(value); }
  double median() const { return quantile(0.5); }
  double low() const { return quantile(0.25); }   // first quartile
  double high() const { return quantile(0.75); }  // third quartile
  double sum() const;
  std::size_t count() const { return values_.size(); }

 private:
  double quantile(double share) const;
  std::vector<double> values_;
};

inline double Samples::quantile(double share) const {
  check(!values_.empty(), "[Samples] expected at least one measurement");
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  const double at = share * double(sorted.size() - 1);
  const std::size_t below = std::size_t(at), above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - double(below)) * (sorted[above] - sorted[below]);
}

inline double Samples::sum() const {
  return std::accumulate(values_.begin(), values_.end(), 0.0);
}

// seconds that f() takes
template <class F>
double seconds(F&& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace tern
