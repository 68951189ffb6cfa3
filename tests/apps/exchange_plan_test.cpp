#include <gtest/gtest.h>

#include "apps/plan/plan.h"

namespace tern {
namespace {

// NetworkRates of round numbers: 8 bytes, 4 a node, 1 B/s inside and 0.5 B/s between.
TEST(ExchangePlan, ByHand) {
  const NetworkRates rates{.node = 4, .inside = 1, .between = 0.5};
  EXPECT_DOUBLE_EQ(reduce_seconds(8, 1, rates), 0);
  EXPECT_DOUBLE_EQ(reduce_seconds(8, 2, rates), 4);      // half of it
  EXPECT_DOUBLE_EQ(reduce_seconds(8, 4, rates), 6);      // three quarters
  EXPECT_DOUBLE_EQ(reduce_seconds(8, 8, rates), 6 + 2);  // then half of a quarter, twice slower
  EXPECT_DOUBLE_EQ(reduce_seconds(8, 16, rates), 6 + 3);
}

// The row of docs/scaling_out.md: 1.3B on 64 GPUs, 8 sequences of 2048 each.
TEST(ExchangePlan, ThePagesExample) {
  RunConfig config;
  config.model = named_model("1.3b");
  config.batch = {.tokens = 64 * 8 * 2048, .context = 2048};
  const ExchangePlan plan = plan_exchange(config, 64);
  EXPECT_NEAR(plan.gradient_bytes / 1e9, 5.46, 0.005);
  EXPECT_NEAR(plan.reduce * 1e3, 56.3, 0.05);
  EXPECT_NEAR(plan.compute * 1e3, 215, 1);  // 197.9 measured, at 65 % of the datasheet's rate
  EXPECT_NEAR(plan.nothing_hidden, plan.compute / (plan.compute + plan.reduce), 1e-12);
  EXPECT_DOUBLE_EQ(plan.backward_hidden, 1);
}

// The same with owners: half the bytes of gradients, and codes at two bits.
TEST(ExchangePlan, OwnersSendCopies) {
  RunConfig config;
  config.model = named_model("1.3b");
  config.parallel.zero = 1;
  config.batch = {.tokens = 64 * 8 * 2048, .context = 2048};
  const ExchangePlan plan = plan_exchange(config, 64);
  EXPECT_NEAR(plan.reduce * 1e3, 28.2, 0.05);
  EXPECT_NEAR(plan.copy_bytes / 1e9, 0.456, 0.001);
  EXPECT_NEAR(plan.gather * 1e3, 2.4, 0.05);
  EXPECT_NEAR(plan.backward_hidden, plan.compute / (plan.compute + plan.gather), 1e-12);
}

TEST(ExchangePlan, HalfGradientsAreHalfTheBytes) {
  RunConfig config;
  config.model = named_model("1.3b");
  config.batch = {.tokens = 64 * 8 * 2048, .context = 2048};
  const ExchangePlan single = plan_exchange(config, 64);
  config.optimizer.gradients = Stored::bf16;
  const ExchangePlan half = plan_exchange(config, 64);
  EXPECT_DOUBLE_EQ(2 * half.gradient_bytes, single.gradient_bytes);
  EXPECT_DOUBLE_EQ(2 * half.reduce, single.reduce);
}

// Half a million tokens are too few for 512 GPUs, whatever is hidden.
TEST(ExchangePlan, WhatCannotBeHiddenCosts) {
  RunConfig config;
  config.model = named_model("1.3b");
  config.batch = {.tokens = 524'288, .context = 1024};
  const ExchangePlan plan = plan_exchange(config, 512);
  EXPECT_LT(plan.backward_hidden, 0.4);
  EXPECT_LT(plan.nothing_hidden, plan.backward_hidden);
}

}  // namespace
}  // namespace tern
