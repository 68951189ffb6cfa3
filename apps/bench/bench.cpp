#include "apps/bench/bench.h"

#include <memory>

#include "apps/bench/eigen_product.h"
#include "apps/run/square_product.h"
#include "core/dry/dry_backend.h"

namespace tern {
namespace {

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
