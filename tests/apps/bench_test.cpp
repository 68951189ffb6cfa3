#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/bench/bit_linear.h"
#include "apps/bench/eigen_product.h"
#include "core/cpu/cpu_backend.h"
#include "core/dry/dry_backend.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

RunConfig small() {
  RunConfig config;
  config.model = {.vocab_size = 50, .width = 32, .layers = 2};
  config.batch = {.tokens = 32, .context = 8};
  return config;
}
double counted_flops() {
  return double(gemm_flop_per_token(small().model)) * double(small().batch.tokens);
}

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
  TrainingStep step(dry, small(), 2);  // in two micro-batches
  step.run();
  EXPECT_DOUBLE_EQ(dry.total().flops, counted_flops());
}

TEST(Bench, TimesEveryKernelOfARealStep) {
  CpuBackend backend(plan_memory(small(), 4, {}).peak);
  TimedBackend timed(backend);
  TrainingStep step(timed, small(), 4);
  step.initialize();
  EXPECT_TRUE(step.run().report().applied);
  double flops = 0;
  for (const KernelTimes& k : timed.kernels()) flops += k.cost.flops * double(k.seconds.count());
  EXPECT_DOUBLE_EQ(flops, counted_flops());
}

TEST(Bench, AttentionTakesTheMemoryOfItsPlan) {
  const AttentionSize size{.batch = 2, .context = 70, .heads = 3, .head_width = 8, .hidden = 20};
  CpuBackend backend(attention_bytes(size, DType::f32, {}));
  const OpsBench r = bench_attention(backend, size, DType::f32, 2);
  EXPECT_EQ(r.kernels.size(), 7u);  // attention twice: of all steps, and of one
  for (const KernelTimes& k : r.kernels) EXPECT_EQ(k.seconds.count(), 2u) << k.name;
  EXPECT_GT(attention_bytes(size, DType::bf16, DeviceTraits::h200()), 3 * (std::size_t(128) << 20));
}

// The composed model is the same function: what differs is rounding, and a decision that it flips.
TEST(Bench, FusedAndComposedFormsAreTheSameLayerAndTheSameModel) {
  RunConfig config = small();
  config.model.explicit_glu_width = 48;
  CpuBackend backend(fusion_bytes(config, {}));
  const FusionBench layer = bench_layer_fusion(backend, config, 2),
                    model = bench_model_fusion(backend, config, 2);
  EXPECT_LE(layer.difference, 1e-5);
  EXPECT_LE(model.difference, 1e-4);
  for (const FusionBench* r : {&layer, &model}) {
    EXPECT_LT(r->fused.kept, r->composed.kept);
    EXPECT_LT(r->fused.peak, r->composed.peak);
    EXPECT_LT(r->fused.traffic, r->composed.traffic);
    EXPECT_EQ(r->fused.seconds.count(), 2u);
  }
}

// What fits is planned: the GPU's workspaces are in it, and both precisions of backward.
TEST(Bench, TrainingProductsArePlanned) {
  RunConfig config = small();
  config.batch.micro_batch = 2;
  const std::size_t plain = training_products_bytes(config, {.multiprocessors = 132});
  EXPECT_GT(plain, kLibraryWorkspace);
  EXPECT_GE(training_products_bytes(config, DeviceTraits::h200()), plain);
  EXPECT_GT(forward_products_bytes(config, DeviceTraits::h200()), kLibraryWorkspace);
}

TEST(Bench, TrainsFromOptionsOrAConfigurationAndShowsTheStepByKernel) {
  const TemporaryDirectory room;
  write_text(room / "run.toml",
             "[run]\nsteps = 5\n[model]\nvocab_size = 64\nhidden_size = 16\n"
             "num_hidden_layers = 1\n[[data.source]]\npath = \"not there\"\n"
             "[optimizer]\nlr = 1e-2\n[batch]\ntokens = 64\ncontext = 8\nmicro_batch = 4\n");
  const std::vector<std::vector<std::string>> sizes = {
      {"--width", "16", "--layers", "1", "--vocab", "64", "--batch", "8", "--context", "8"},
      {"--config", room / "run.toml", "--set", "memory.recompute=full"}};
  for (const std::vector<std::string>& size : sizes) {
    std::vector<std::string> args = {sibling_program("tern"), "bench", "train", "--steps", "1"};
    args.insert(args.end(), size.begin(), size.end());
    const Outcome outcome = tern::run({.args = args});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    const bool from_file = size[0] == "--config";
    for (const char* part : {"8 sequences of T=8", from_file ? "4 at once" : "8 at once",
                             "tokens/s", "peak memory", "AdamW"})
      EXPECT_THAT(outcome.out, testing::HasSubstr(part));
  }
}

TEST(Bench, EigenProductCountsItsFlops) {
  EigenProduct product(8, 4, 2);
  product.run();
  EXPECT_DOUBLE_EQ(product.flops(), 2.0 * 8 * 4 * 2);
}

}  // namespace
}  // namespace tern
