// The update from gradients in bf16: that from the same numbers in f32, bit for bit.
#include <gtest/gtest.h>

#include "core/cpu/cpu_backend.h"
#include "tests/support/update_case.h"

namespace tern {
namespace {

using Values = std::vector<double>;

TEST(HalfGradients, TheNormIsThatOfTheRoundedNumbers) {
  CpuBackend cpu(std::size_t(4) << 20);
  const auto norm_squared = [&](const Tensor& g) {
    const Tensor scalars(cpu, {StepScalars::kCount}, DType::f64);
    cpu.run(SquaredNorm{.scalars = scalars, .g = g});
    return download_real(scalars)[StepScalars::norm_squared];
  };
  for (const Index n : {1, 1025, 40'000}) {
    Values v(std::size_t(n), 0);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = Rng(5, 1).normal(i);
    const Tensor half(cpu, {n}, DType::bf16), single(cpu, {n}, DType::f32);
    upload_real(half, v);
    const Values rounded = download_real(half);
    EXPECT_NE(rounded, v);
    upload_real(single, rounded);
    EXPECT_EQ(norm_squared(half), norm_squared(single));
  }
}

// The case's gradients have seven bits, which bf16 holds.
TEST(HalfGradients, UpdatesHaveTheBitsOfSinglePrecision) {
  CpuBackend cpu(std::size_t(32) << 20);
  for (const AdamWOptions& options : {AdamWOptions{}, AdamWOptions{.moments = DType::bf16}}) {
    UpdateCase half(cpu, options, DType::f32, DType::bf16), single(cpu, options);
    EXPECT_EQ(2 * half.pack().gradients().bytes(), single.pack().gradients().bytes());
    for (std::uint64_t s = 0; s < 4; ++s) half.step(s), single.step(s);
    EXPECT_EQ(half.state(), single.state());
  }
}

}  // namespace
}  // namespace tern
