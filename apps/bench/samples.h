// Repeated measurements of one quantity, and the clock they are taken with.
#pragma once

#include <chrono>
#include <vector>

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

// seconds that f() takes
template <class F>
double seconds(F&& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace tern
