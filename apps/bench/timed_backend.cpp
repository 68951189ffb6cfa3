#include "apps/bench/timed_backend.h"

#include <fmt/format.h>

#include <algorithm>

namespace tern {
namespace {

std::string product_shape(const Tensor& y, const Tensor& x) {
  return fmt::format(" {}x{}x{}", y.shape()[0], x.shape().last(), y.shape()[1]);
}

}  // namespace

std::string TimedBackend::shape(const Matmul& a) {
  return product_shape(a.y, a.x);
}
std::string TimedBackend::shape(const MatmulBackward& a) {
  return product_shape(a.dy, a.x);
}
std::string TimedBackend::shape(const TernaryProduct& a) {
  return product_shape(a.y, a.x.q);
}
std::string TimedBackend::shape(const TernaryProductBackward& a) {
  return product_shape(a.dy, a.x.q);
}

void TimedBackend::note(const std::string& name, const Cost& cost, double seconds) {
  KernelTimes& times = kernels_[{name, cost.bytes}];
  times.name = name;
  times.cost = cost;
  times.seconds.add(seconds);
}

std::vector<KernelTimes> TimedBackend::kernels() const {
  std::vector<KernelTimes> sorted;
  for (const auto& [key, times] : kernels_) sorted.push_back(times);
  std::sort(sorted.begin(), sorted.end(), [](const KernelTimes& a, const KernelTimes& b) {
    return a.seconds.sum() > b.seconds.sum();
  });
  return sorted;
}

}  // namespace tern
