// Ten losses of a small f64 model, stored when they were right: any change of the arithmetic, the
// initialisation or the update shows here. If a change is meant, print the new ones and say why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "core/bfloat16.h"
#include "tests/layers/tiny_model.h"
#include "tests/support/tolerances.h"

namespace tern {
namespace {

std::vector<double> losses_of_ten_steps(Recompute recompute, BackwardProducts backward = {}) {
  CpuBackend cpu(std::size_t(32) << 20);
  TrainableModel trained(cpu, {.dtype = DType::f64, .recompute = recompute, .backward = backward});
  trained.pack.initialize(7);
  AdamWOptimizer adam(trained.pack, {});
  std::vector<double> losses;
  for (int step = 0; step < 10; ++step)
    losses.push_back(train_step(trained.model, adam, tiny_batch(4, 16, 29, std::uint64_t(step)),
                                1e-2, step < 5 ? 0.1 : 0, 3)
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
  EXPECT_EQ(losses_of_ten_steps(Recompute::norms), losses);
  EXPECT_EQ(losses_of_ten_steps(Recompute::cheap), losses);
  EXPECT_EQ(losses_of_ten_steps(Recompute::full), losses);
}

// Rounded gradients change what is learnt a little: three bits behind the leading one, on average
// over many terms. The first loss is before any gradient.
TEST(Training, ProductsInEightBitsLearnAlmostTheSame) {
  const std::vector<double> exact = losses_of_ten_steps(Recompute::none);
  for (const auto backward : {BackwardProducts::fp8_dx, BackwardProducts::fp8}) {
    const std::vector<double> rounded = losses_of_ten_steps(Recompute::none, backward);
    EXPECT_EQ(rounded[0], exact[0]);
    EXPECT_NE(rounded[1], exact[1]);
    // of 64 tokens: dx differs by 0.05 at most in these steps, dx and dw by 0.063
    const double tolerance = rounds_dw(backward) ? 0.1 : 0.05;
    EXPECT_THAT(rounded, testing::Pointwise(testing::DoubleNear(tolerance), exact));
    EXPECT_EQ(losses_of_ten_steps(Recompute::norms, backward), rounded);
    EXPECT_EQ(losses_of_ten_steps(Recompute::cheap, backward), rounded);
    EXPECT_EQ(losses_of_ten_steps(Recompute::full, backward), rounded);
  }
}

// With one micro-batch every gradient is the f32 one, rounded once: of the head too, whose dW is a
// sum over chunks of rows, and of the bounds, which no kernel writes in bf16 itself.
TEST(Training, HalfGradientsOfOneBatchAreTheRoundedOnes) {
  CpuBackend cpu(std::size_t(32) << 20);
  const auto gradients = [&](std::optional<DType> stored, Recompute recompute) {
    TrainableModel trained(cpu, {.loss_rows = 10, .recompute = recompute}, tiny_config(), stored);
    trained.pack.initialize(7);
    forward_and_backward(trained.model, tiny_batch(4, 16, 29), 1.0 / 64);
    trained.pack.finish_gradients();
    return download_real(trained.pack.gradients());
  };
  std::vector<double> want = gradients({}, Recompute::none);
  for (double& x : want) x = double(to_real(to_stored<BFloat16>(float(x))));
  for (const Recompute r : {Recompute::none, Recompute::norms, Recompute::cheap, Recompute::full})
    EXPECT_EQ(gradients(DType::bf16, r), want);
}

// Gradients that are rounded three times a step, then twice.
TEST(Training, HalfGradientsLearnAlmostTheSame) {
  const auto train = [](std::optional<DType> gradients, std::optional<DType> moments) {
    CpuBackend cpu(std::size_t(32) << 20);
    TrainableModel trained(cpu, {}, tiny_config(), gradients);
    trained.pack.initialize(7);
    AdamWOptimizer adam(trained.pack, {.moments = moments});
    std::vector<double> losses;
    for (int step = 0; step < 10; ++step)
      losses.push_back(train_step(trained.model, adam, tiny_batch(5, 16, 29, std::uint64_t(step)),
                                  1e-2, 0.1, step < 5 ? 2 : 3)
                           .loss);
    return losses;
  };
  const std::vector<double> single = train({}, {}), half = train(DType::bf16, {}),
                            both = train(DType::bf16, DType::bf16);
  EXPECT_EQ(half[0], single[0]);
  EXPECT_NE(half, single);
  EXPECT_LT(half[9], half[0] - 0.4);
  EXPECT_THAT(half, testing::Pointwise(testing::DoubleNear(0.05), single));
  EXPECT_THAT(both, testing::Pointwise(testing::DoubleNear(0.05), single));
}

}  // namespace
}  // namespace tern
