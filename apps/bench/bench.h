// What `tern bench` measures. Speeds are only ever compared with others of the same run.
#pragma once

#include <functional>

#include "apps/bench/timed_backend.h"
#include "apps/bench/training_step.h"
#include "runtime/memory_plan.h"

namespace tern {

// Measures the product that everything is compared with, in FLOP/s: on CPUs Eigen's own float
// product (4096, D) x (D, 2H), on GPUs the library's bf16 product of 8192 cubed.
using Yardstick = std::function<double()>;
Yardstick yardstick(Backend& backend, const ModelConfig& model);

// What is trained, a micro-batch of how many sequences at once, and the memory that takes.
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
