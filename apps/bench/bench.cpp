#include "apps/bench/bench.h"

#include "apps/bench/eigen_product.h"

namespace tern {
namespace {

constexpr Index kProductRows = 4096;      // as the target is defined
constexpr Index kCopyBytes = 256 << 20;   // more than any cache
constexpr double kProductSeconds = 0.15;  // one measurement of the product lasts this long

EigenProduct reference_product(const TrainingSize& size) {
  return EigenProduct(kProductRows, size.width, 2 * size.model().glu_width());
}

double product_rate(EigenProduct& product) {
  int runs = 0;
  double time = 0;
  for (; time < kProductSeconds; ++runs) time += seconds([&] { product.run(); });
  return runs * product.flops() / time;
}

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

}  // namespace

TrainBench bench_train(Backend& backend, const TrainingSize& size, int steps,
                       const std::function<void(int)>& progress) {
  EigenProduct product = reference_product(size);
  TrainingStep step(backend, size);
  step.initialize();
  const double flops = double(gemm_flop_per_token(size.model())) * double(size.tokens());
  step.run();  // touches the memory
  product_rate(product);
  TrainBench out;
  double before = product_rate(product);
  out.product.add(before);
  for (int s = 0; s < steps; ++s) {
    const double train = flops / seconds([&] { step.run(); });
    const double after = product_rate(product);
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
  EigenProduct product = reference_product(size);
  TimedBackend timed(backend);
  TrainingStep step(timed, size);
  step.initialize();
  step.run();
  timed.forget();
  Samples products, whole;
  for (int s = 0; s < steps; ++s) {
    products.add(product_rate(product));
    whole.add(seconds([&] { step.run(); }));
  }
  out.product = products.median();
  out.step = whole.median();
  out.kernels = timed.kernels();
  return out;
}

std::size_t bench_bytes(const TrainingSize& size) {
  return std::max(training_bytes(size), 2 * std::size_t(kCopyBytes));
}

}  // namespace tern
