// The measurements of `tern bench`. Compare speeds only with others of the same run.
#pragma once

#include <algorithm>
#include <chrono>
#include <numeric>

#include "core/backend.h"
#include "core/check.h"
#include "runtime/memory_plan.h"
#include "runtime/trainer.h"

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
  double quantile(double share) const;  // interpolated; share 0 to 1

 private:
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
  static std::string shape(const Attention& a);
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

// ids of a step, batch.tokens of them, a function of the stream's name
std::vector<std::int32_t> random_tokens(const RunConfig& config, const char* stream);

// bytes read and written per second by copying what no cache holds
double copy_rate(Backend& backend);

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

// --- the products of a training step: those that the device's library computes, each kind once,
// and forward the device's own kernel beside the library ---

// Every kind of product that a step of this run asks the library for, and again in 8 bits.
void run_training_products(Backend& backend, const RunConfig& config);
std::size_t training_products_bytes(const RunConfig& config, const DeviceTraits& device);

// y = x w^T with int8 activations and ternary weights, and the same product of bf16 copies
struct ForwardProduct {
  Index rows = 0, inputs = 0, outputs = 0;  // N, I, O
  Samples codes{}, copies{};                // seconds
  double flops() const { return 2 * double(rows) * double(inputs) * double(outputs); }
};

// For each shape of the forward pass; random operands. GPUs only.
std::vector<ForwardProduct> bench_forward_products(Backend& backend, const RunConfig& config);
std::size_t forward_products_bytes(const RunConfig& config, const DeviceTraits& device);

// --- the kernels that a Transformer has beside products: rotary embedding, attention and SwiGLU,
// forward and backward; and attention of one step behind a cache of T - 1 ---

struct AttentionSize {
  Index batch = 8, context = 2048, heads = 8, head_width = 128;  // B, T, D / d, d
  Index hidden = 2816;                                           // H
};

// Times every kernel `passes` times on random numbers. activations: dtype of everything
OpsBench bench_attention(Backend& backend, const AttentionSize& size, DType activations,
                         int passes);
// slab that the bench needs
std::size_t attention_bytes(const AttentionSize& size, DType activations,
                            const DeviceTraits& device);

// A product of square matrices of random numbers, the unit of "share of peak".
class SquareProduct {
 public:
  SquareProduct(Backend& on, DType dtype, Index n);  // n: a multiple of 64
  double seconds() const;                            // that one product takes now
  double flops() const { return 2.0 * double(n_) * double(n_) * double(n_); }

 private:
  Index n_;
  Tensor x_, w_, y_;  // (n, n)
};

}  // namespace tern
