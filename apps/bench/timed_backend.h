// A backend that times every kernel of another one: what a real step spends where, with real data
// and real caches. The clock is the device's, and kernels do not overlap.
#pragma once

#include <map>
#include <string>

#include "apps/bench/samples.h"
#include "core/backend.h"

namespace tern {

// All calls of one kernel with the same cost.
struct KernelTimes {
  std::string name{};  // "TernaryProduct 2048x320x640": N x I x O of products
  Cost cost{};         // of one call
  Samples seconds{};   // of every call
};

class TimedBackend final : public Backend {
 public:
  explicit TimedBackend(Backend& inner) : inner_(inner) {}
  std::string_view name() const override { return inner_.name(); }
  DeviceTraits traits() const override { return inner_.traits(); }
  Pool& pool() override { return inner_.pool(); }
  void upload(const Tensor& to, const void* from) override { inner_.upload(to, from); }
  void download(void* to, const Tensor& from) override { inner_.download(to, from); }
  std::unique_ptr<Snapshot> snapshot(const Tensor& of) override { return inner_.snapshot(of); }
  void copy(const Tensor& to, const Tensor& from) override { inner_.copy(to, from); }
  void fill(const Tensor& to, double value) override { inner_.fill(to, value); }
  void synchronize() override { inner_.synchronize(); }
  void* stream() override { return inner_.stream(); }
  std::unique_ptr<Timestamp> timestamp() override { return inner_.timestamp(); }
  double seconds_of(const std::function<void()>& work) override { return inner_.seconds_of(work); }

  void forget() { kernels_.clear(); }
  std::vector<KernelTimes> kernels() const;  // most expensive first

#define TERN_RUN(Kernel)                    \
  void run(const Kernel& kernel) override { \
    time(#Kernel, kernel);                  \
  }
  TERN_KERNELS(TERN_RUN)
#undef TERN_RUN

 private:
  template <class Kernel>
  void time(const char* kernel, const Kernel& a) {
    note(std::string(kernel) + shape(a), cost(a), inner_.seconds_of([&] { inner_.run(a); }));
  }
  template <class Kernel>
  static std::string shape(const Kernel&) {
    return {};
  }
  static std::string shape(const Matmul& a);
  static std::string shape(const MatmulBackward& a);
  static std::string shape(const TernaryProduct& a);
  static std::string shape(const TernaryProductBackward& a);
  void note(const std::string& name, const Cost& cost, double seconds);

  Backend& inner_;
  std::map<std::pair<std::string, double>, KernelTimes> kernels_;  // by name and bytes
};

}  // namespace tern
