#include "apps/bench/bench.h"

#include <gtest/gtest.h>

#include "apps/bench/bit_linear.h"
#include "apps/bench/eigen_product.h"
#include "apps/bench/products.h"
#include "core/cpu/cpu_backend.h"
#include "core/dry/dry_backend.h"

namespace tern {
namespace {

const TrainingSize kSmall{.width = 32, .layers = 2, .vocab = 50, .batch = 2, .context = 8};

TEST(Bench, QuartilesInterpolate) {
  Samples s;
  for (const double v : {4.0, 1.0, 3.0, 2.0}) s.add(v);
  EXPECT_DOUBLE_EQ(s.median(), 2.5);
  EXPECT_DOUBLE_EQ(s.low(), 1.75);
  EXPECT_DOUBLE_EQ(s.high(), 3.25);
}

// What the kernels of a step cost together is what the ratio counts: 6 FLOP a weight and token.
TEST(Bench, KernelsOfAStepCostWhatTheRatioCounts) {
  DryBackend dry;
  TrainingStep step(dry, kSmall);
  step.run();
  const double counted = double(gemm_flop_per_token(kSmall.model())) * double(kSmall.tokens());
  EXPECT_DOUBLE_EQ(dry.total().flops, counted);
}

TEST(Bench, TimesEveryKernelOfARealStep) {
  CpuBackend backend(training_bytes(kSmall));
  TimedBackend timed(backend);
  TrainingStep step(timed, kSmall);
  step.initialize();
  EXPECT_TRUE(step.run().applied);
  double flops = 0;
  for (const KernelTimes& k : timed.kernels()) flops += k.cost.flops * double(k.seconds.count());
  EXPECT_DOUBLE_EQ(flops, double(gemm_flop_per_token(kSmall.model())) * double(kSmall.tokens()));
}

TEST(Bench, FusedAndComposedBitLinearAreTheSameLayer) {
  const BitLinearSize size{.rows = 33, .inputs = 64, .outputs = 48};
  CpuBackend backend(bit_linear_bytes(size, DType::f32, {}));
  const BitLinearBench r = bench_bit_linear(backend, size, DType::f32, 2);
  EXPECT_LE(r.difference, 1e-5);
  EXPECT_LT(r.fused_bytes, r.composed_bytes);
  EXPECT_EQ(r.fused.count(), 2u);
}

// What fits is planned: the GPU's workspaces are in it, and both precisions of backward.
TEST(Bench, TrainingProductsArePlanned) {
  TrainingSize size = kSmall;
  size.options.activations = DType::bf16;
  const std::size_t plain = training_products_bytes(size, {.multiprocessors = 132});
  EXPECT_GT(plain, kLibraryWorkspace);
  EXPECT_GE(training_products_bytes(size, DeviceTraits::h200()), plain);
  EXPECT_GT(forward_products_bytes(size, DeviceTraits::h200()), kLibraryWorkspace);
}

TEST(Bench, EigenProductCountsItsFlops) {
  EigenProduct product(8, 4, 2);
  product.run();
  EXPECT_DOUBLE_EQ(product.flops(), 2.0 * 8 * 4 * 2);
}

}  // namespace
}  // namespace tern
