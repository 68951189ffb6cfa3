#include "apps/plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/config/load.h"

namespace tern {
namespace {

using testing::HasSubstr;

TEST(Plan, PublishedModel) {
  const RunConfig config = load_config("configs/370m.toml").config;
  const Plan plan = make_plan(config, {5'000'000'000});
  EXPECT_EQ(plan.parameters.total(), 374'108'160);
  EXPECT_NEAR(double(plan.gemm_flop_per_token) / 1e9, 2.046, 0.0005);
  EXPECT_EQ(plan.sequences_per_step, 256);
  EXPECT_EQ(plan.steps, 28'611);
  EXPECT_EQ(plan.tokens, 28'611 * 524'288LL);
  EXPECT_NEAR(plan.sources[0].epochs, 3.0, 0.001);
  EXPECT_EQ(plan.parameter_bytes, 4 * 374'108'160LL);
  EXPECT_EQ(plan.state_bytes(), 16 * 374'108'160LL);
  EXPECT_EQ(plan.checkpoint_bytes, 12 * 374'108'160LL);
  EXPECT_EQ(plan.checkpoints, 3 + 1 + 1 + 5);  // the last 3, one being written, best, 5000..25000
  EXPECT_DOUBLE_EQ(plan.disk_bytes, 10.0 * 12 * 374'108'160);
  EXPECT_DOUBLE_EQ(plan.flop_total, 6.0 * (24 * 12'845'056.0 + 32'768'000) * double(plan.tokens));
}

TEST(Plan, DoublesTakeTwiceTheBytes) {
  RunConfig config = load_config("configs/demo.toml").config;
  const Plan single = make_plan(config, {1});
  config.dtype = Precision::f64;
  const Plan twice = make_plan(config, {1});
  EXPECT_EQ(twice.state_bytes(), 2 * single.state_bytes());
  EXPECT_EQ(twice.checkpoint_bytes, 2 * single.checkpoint_bytes);
}

TEST(Plan, MomentsInHalfPrecisionTakeFourBytesAParameter) {
  RunConfig config = load_config("configs/370m.toml").config;
  config.optimizer.moments = Stored::bf16;
  const Plan plan = make_plan(config, {5'000'000'000});
  EXPECT_EQ(plan.moment_bytes, 4 * 374'108'160LL);
  EXPECT_EQ(plan.state_bytes(), 12 * 374'108'160LL);
  EXPECT_EQ(plan.checkpoint_bytes, 8 * 374'108'160LL);
}

TEST(Plan, GradientsInHalfPrecisionTakeTwoBytesAParameter) {
  RunConfig config = load_config("configs/370m.toml").config;
  config.optimizer.gradients = Stored::bf16;
  const Plan plan = make_plan(config, {5'000'000'000});
  EXPECT_EQ(plan.gradient_bytes, 2 * 374'108'160LL);
  EXPECT_EQ(plan.state_bytes(), 14 * 374'108'160LL);
  EXPECT_EQ(plan.checkpoint_bytes, 12 * 374'108'160LL);  // has no gradients
}

TEST(Plan, SourcesShareTheRunByWeight) {
  RunConfig config = load_config("configs/demo.toml").config;
  config.run.steps = 1000;  // of 2048 tokens
  config.data.sources = {{"a", 3, ""}, {"b", 1, ""}, {"c", 4, ""}};
  const Plan plan = make_plan(config, {768'000, 1'024'000, 0});
  EXPECT_DOUBLE_EQ(plan.sources[0].share, 0.375);
  EXPECT_DOUBLE_EQ(plan.sources[0].epochs, 1);
  EXPECT_DOUBLE_EQ(plan.sources[1].epochs, 0.25);
  EXPECT_DOUBLE_EQ(plan.sources[2].epochs, 0);
}

TEST(Plan, CheckpointsOnDiskAreAtMostThoseThatAreSaved) {
  RunConfig config = load_config("configs/demo.toml").config;
  config.run.steps = 100;
  const auto count = [&](CheckpointSection checkpoint) {
    config.checkpoint = checkpoint;
    return make_plan(config, {1}).checkpoints;
  };
  EXPECT_EQ(count({.interval = 0, .keep_last = 5}), 1);
  EXPECT_EQ(count({.interval = 60, .keep_last = 5}), 2);
  EXPECT_EQ(count({.interval = 10, .keep_last = 2}), 4);
  EXPECT_EQ(count({.interval = 10, .keep_last = 2, .keep_best = false}), 3);
  EXPECT_EQ(count({.interval = 10, .keep_last = 2, .keep_every = 50}), 6);
  EXPECT_EQ(count({.interval = 0, .before_decay = true}), 2);
}

TEST(Plan, NumbersForPeople) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(374'108'160), "374,108,160");
  EXPECT_EQ(grouped(-1234), "-1,234");
  EXPECT_EQ(grouped(-123), "-123");
  EXPECT_EQ(with_prefix(2.0463e9), "2.05 G");
  EXPECT_EQ(with_prefix(12), "12");
}

TEST(Plan, TextIsAlignedAndComplete) {
  const RunConfig config = load_config("configs/370m.toml").config;
  const std::string text = plan_text(config, make_plan(config, {15'000'000'000}));
  EXPECT_THAT(text, HasSubstr("  total                            374,108,160\n"));
  EXPECT_THAT(text, HasSubstr("  body: channel mixers             207,618,048  55.5 %\n"));
  EXPECT_THAT(text, HasSubstr("  FLOP per token                        2.05 G  products"));
  EXPECT_THAT(text, HasSubstr("corpora/slimpajama: 100.0 % of the run, 1.00 epochs\n"));
  EXPECT_THAT(text, HasSubstr("  one checkpoint                       4.49 GB\n"));
}

}  // namespace
}  // namespace tern
