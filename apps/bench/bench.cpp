#include "apps/bench/bench.h"

#include <memory>

#include "apps/bench/eigen_product.h"
#include "apps/run/square_product.h"

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
    rate.add(2.0 * double(kCopyBytes) / seconds([&] {
               backend.copy(to, from);
               backend.synchronize();
             }));
  return rate.median();
}

Yardstick eigen_yardstick(const TrainingSize& size) {
  auto product =
      std::make_shared<EigenProduct>(kProductRows, size.width, 2 * size.model().glu_width());
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

Yardstick yardstick(Backend& backend, const TrainingSize& size) {
  return backend.traits().is_gpu() ? device_yardstick(backend) : eigen_yardstick(size);
}

TrainBench bench_train(Backend& backend, const TrainingSize& size, int steps,
                       const std::function<void(int)>& progress) {
  const Yardstick product_rate = yardstick(backend, size);
  TrainingStep step(backend, size);
  step.initialize();
  const double flops = double(gemm_flop_per_token(size.model())) * double(size.tokens());
  step.run();  // touches the memory
  product_rate();
  TrainBench out;
  double before = product_rate();
  out.product.add(before);
  for (int s = 0; s < steps; ++s) {
    const double train = flops / seconds([&] {
                           step.run();
                           backend.synchronize();  // a step ends with work that nobody reads
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

OpsBench bench_ops(Backend& backend, const TrainingSize& size, int steps) {
  OpsBench out{.copy = copy_rate(backend)};
  const Yardstick product_rate = yardstick(backend, size);
  TimedBackend timed(backend);
  TrainingStep step(timed, size);
  step.initialize();
  step.run();
  timed.forget();
  Samples products, whole;
  for (int s = 0; s < steps; ++s) {
    products.add(product_rate());
    whole.add(seconds([&] { step.run(); }));
  }
  out.product = products.median();
  out.step = whole.median();
  out.kernels = timed.kernels();
  return out;
}

std::size_t bench_bytes(const TrainingSize& size, const DeviceTraits& device) {
  const std::size_t yardstick = device.is_gpu() ? 6 * std::size_t(kSquare * kSquare) : 0;
  return std::max(training_bytes(size, device) + yardstick, 2 * std::size_t(kCopyBytes));
}

}  // namespace tern
