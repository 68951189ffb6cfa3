// The measurements of `tern bench`. Compare speeds only with others of the same run.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "apps/bench/samples.h"
#include "core/backend.h"
#include "runtime/memory_plan.h"
#include "runtime/trainer.h"

namespace tern {

// Real training steps of a configuration on random tokens, repeatable: forward, backward, AdamW,
// quantise.
class TrainingStep {
 public:
  // micro_batch: sequences computed at once, as Trainer has it
  TrainingStep(Backend& backend, const RunConfig& config, Index micro_batch);
  void initialize() { trainer_.pack().initialize(1); }
  PendingUpdate run();  // is on its way when the call returns

 private:
  Trainer trainer_;
  std::vector<std::int32_t> ids_, targets_;  // of a whole step
};

// All calls of one kernel with the same cost.
struct KernelTimes {
  std::string name{};  // "TernaryProduct 2048x320x640": N x I x O of products
  Cost cost{};         // of one call
  Samples seconds{};   // of every call
};

// A backend that times every kernel of another one: the times of a real step, with real data and
// real caches. The clock is the device's, and kernels do not overlap.
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

// Measures the product that everything is compared with, in FLOP/s: on CPUs Eigen's own float
// product (4096, D) x (D, 2H), on GPUs the library's bf16 product of 8192 cubed.
using Yardstick = std::function<double()>;
Yardstick yardstick(Backend& backend, const ModelConfig& model);

// The run to measure, its micro-batch and its memory.
struct BenchSetup {
  RunConfig config{};
  MemoryPlan memory{};
};

struct TrainBench {
  Samples product{};  // FLOP/s of the yardstick
  Samples train{};    // FLOP/s of a training step, counting products only
  Samples ratio{};    // of each step to the products measured right before and after it
  Samples host{};     // seconds until the host has given the device all of a step's work
};

// Alternates products and steps, so that what disturbs the machine hits both. progress(step) is
// called after each of the steps.
TrainBench bench_train(Backend& backend, const BenchSetup& setup, int steps,
                       const std::function<void(int)>& progress);

struct OpsBench {
  double product = 0;  // FLOP/s, as above
  double copy = 0;     // bytes read and written per second by copying what no cache holds
  double step = 0;     // seconds of all kernels of a step
  std::vector<KernelTimes> kernels{};
};

// Times every kernel of `steps` real training steps where it stands.
OpsBench bench_ops(Backend& backend, const BenchSetup& setup, int steps);

// slab that either needs
std::size_t bench_bytes(const BenchSetup& setup, const DeviceTraits& device);

}  // namespace tern
