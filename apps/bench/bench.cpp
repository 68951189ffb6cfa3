#include "apps/bench/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "apps/bench/eigen_product.h"
#include "apps/run/square_product.h"
#include "core/dry/dry_backend.h"
#include "core/rng.h"

namespace tern {
namespace {

constexpr double kRate = 1e-3, kDecay = 0.1;

std::vector<std::int32_t> random_tokens(const RunConfig& config, const char* stream) {
  const Rng rng(1, stream_of(stream));
  std::vector<std::int32_t> ids(std::size_t(config.batch.tokens));
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] = std::int32_t(rng.uniform(i) * double(config.model.vocab_size));
  return ids;
}

std::string product_shape(const Tensor& y, const Tensor& x) {
  return fmt::format(" {}x{}x{}", y.shape()[0], x.shape().last(), y.shape()[1]);
}

constexpr Index kProductRows = 4096;      // as the target is defined
constexpr Index kCopyBytes = 512 << 20;   // more than any cache
constexpr Index kSquare = 8192;           // rows and columns of a GPU's product
constexpr double kProductSeconds = 0.15;  // one measurement of the product lasts this long

double copy_rate(Backend& backend) {
  const Tensor from(backend, {kCopyBytes}, DType::i8), to(backend, {kCopyBytes}, DType::i8);
  backend.fill(from, 1);
  backend.fill(to, 0);
  Samples rate;
  for (int i = 0; i < 9; ++i)
    rate.add(2.0 * double(kCopyBytes) / backend.seconds_of([&] { backend.copy(to, from); }));
  return rate.median();
}

Yardstick eigen_yardstick(const ModelConfig& model) {
  auto product = std::make_shared<EigenProduct>(kProductRows, model.width, 2 * model.glu_width());
  return [product] {
    int runs = 0;
    double time = 0;
    for (; time < kProductSeconds; ++runs) time += seconds([&] { product->run(); });
    return runs * product->flops() / time;
  };
}

Yardstick device_yardstick(Backend& on) {
  auto product = std::make_shared<SquareProduct>(on, DType::bf16, kSquare);
  return [product] {
    Samples rate;
    for (int i = 0; i < 12; ++i) rate.add(product->flops() / product->seconds());
    return rate.median();
  };
}

}  // namespace

TrainingStep::TrainingStep(Backend& backend, const RunConfig& config, Index micro_batch)
    : trainer_(backend, config, micro_batch),
      ids_(random_tokens(config, "ids")),
      targets_(random_tokens(config, "targets")) {}

PendingUpdate TrainingStep::run() {
  return trainer_.step({ids_, targets_}, loss_weight(targets_), kRate, kDecay);
}

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

Yardstick yardstick(Backend& backend, const ModelConfig& model) {
  return backend.traits().is_gpu() ? device_yardstick(backend) : eigen_yardstick(model);
}

TrainBench bench_train(Backend& backend, const BenchSetup& setup, int steps,
                       const std::function<void(int)>& progress) {
  const RunConfig& config = setup.config;
  const Yardstick product_rate = yardstick(backend, config.model);
  TrainingStep step(backend, config, setup.memory.micro_batch);
  step.initialize();
  const double flops = double(gemm_flop_per_token(config.model)) * double(config.batch.tokens);
  step.run();  // touches the memory
  product_rate();
  TrainBench out;
  double before = product_rate();
  out.product.add(before);
  for (int s = 0; s < steps; ++s) {
    const double train = flops / seconds([&] {
                           out.host.add(seconds([&] { step.run(); }));
                           backend.synchronize();
                         });
    const double after = product_rate();
    out.train.add(train);
    out.product.add(after);
    out.ratio.add(2 * train / (before + after));
    before = after;
    progress(s + 1);
  }
  return out;
}

OpsBench bench_ops(Backend& backend, const BenchSetup& setup, int steps) {
  OpsBench out{.copy = copy_rate(backend)};
  const Yardstick product_rate = yardstick(backend, setup.config.model);
  TimedBackend timed(backend);
  TrainingStep step(timed, setup.config, setup.memory.micro_batch);
  step.initialize();
  step.run();
  timed.forget();
  Samples products;
  for (int s = 0; s < steps; ++s) {
    products.add(product_rate());
    step.run();
  }
  out.product = products.median();
  out.kernels = timed.kernels();
  for (const KernelTimes& k : out.kernels) out.step += k.seconds.sum() / steps;
  return out;
}

std::size_t bench_bytes(const BenchSetup& setup, const DeviceTraits& device) {
  DryBackend dry(device);
  if (device.is_gpu()) device_yardstick(dry)();
  return std::max(setup.memory.peak + dry.pool().high_water(), 2 * std::size_t(kCopyBytes));
}

}  // namespace tern
