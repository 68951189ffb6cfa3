// Ten losses of a small f64 model, stored when they were right: any change of the arithmetic, the
// initialisation or the update shows here. If a change is meant, print the new ones and say why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/layers/tiny_model.h"
#include "tests/support/tolerances.h"

namespace tern {
namespace {

std::vector<double> losses_of_ten_steps(Recompute recompute, bool fp8_dx = false) {
  CpuBackend cpu(std::size_t(32) << 20);
  Model model(cpu, tiny_config(), {.dtype = DType::f64, .recompute = recompute, .fp8_dx = fp8_dx});
  model.initialize(7);
  AdamWOptimizer adam(model.parameters(), {});
  std::vector<double> losses;
  for (int step = 0; step < 10; ++step)
    losses.push_back(train_step(model, adam, tiny_batch(4, 16, 29, std::uint64_t(step)), 1e-2,
                                step < 5 ? 0.1 : 0, 3)
                         .loss);
  return losses;
}

TEST(Training, TenStoredLosses) {
  const std::vector<double> stored{3.3564752545645895, 3.3309925567956218, 3.2612755413699168,
                                   3.1924383399222491, 3.1766849337366683, 3.0838596816277137,
                                   3.0178553465855993, 2.9456323745223494, 2.8258315970992021,
                                   2.7842006524305067};
  const std::vector<double> losses = losses_of_ten_steps(Recompute::none);
  EXPECT_THAT(losses, testing::Pointwise(testing::DoubleNear(tolerance::kStoredLoss), stored));
  if (testing::Test::HasFailure())
    for (const double loss : losses) std::printf("%.17g\n", loss);
  EXPECT_LT(losses[9], losses[0]);
  EXPECT_EQ(losses_of_ten_steps(Recompute::cheap), losses);
  EXPECT_EQ(losses_of_ten_steps(Recompute::full), losses);
}

// Rounded gradients change what is learnt a little: three bits behind the leading one, on average
// over many terms. The first loss is before any gradient.
TEST(Training, Fp8DxLearnsAlmostTheSame) {
  const std::vector<double> exact = losses_of_ten_steps(Recompute::none),
                            rounded = losses_of_ten_steps(Recompute::none, true);
  EXPECT_EQ(rounded[0], exact[0]);
  EXPECT_NE(rounded[1], exact[1]);
  EXPECT_THAT(rounded, testing::Pointwise(testing::DoubleNear(0.05), exact));
  EXPECT_EQ(losses_of_ten_steps(Recompute::cheap, true), rounded);
  EXPECT_EQ(losses_of_ten_steps(Recompute::full, true), rounded);
}

}  // namespace
}  // namespace tern
