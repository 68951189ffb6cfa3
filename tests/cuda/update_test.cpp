// The update on the GPU beside the CPU's. Sums are taken in one order on both, so they have the
// same bits; what AdamW computes differs by where products and additions are fused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/cpu/cpu_backend.h"
#include "core/dry/dry_backend.h"
#include "tests/cuda/gpu.h"
#include "tests/support/tolerances.h"
#include "tests/support/update_case.h"

namespace tern {
namespace {

constexpr std::size_t kSlab = std::size_t(64) << 20;
using Values = std::vector<double>;

// All products and sums of AdamW are exact with these, so the moments have the CPU's bits as well.
const AdamWOptions kExact{.beta1 = 0.5, .beta2 = 0.5, .clip = 0};
const AdamWOptions kExactHalf{
    .beta1 = 0.5, .beta2 = 0.5, .clip = 0, .moments = DType::bf16, .seed = 11};

Tensor random(Backend& on, Index n, std::uint64_t stream, DType dtype = DType::f32) {
  const Tensor t(on, {n}, dtype);
  Values v(std::size_t(n), 0);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = Rng(5, stream).normal(i);
  upload_real(t, v);
  return t;
}

class CudaUpdate : public GpuTest {
 protected:
  CpuBackend cpu_{kSlab};
};

TEST_F(CudaUpdate, SumsHaveTheCpusBits) {
  const auto squares = [](Backend& on, Index n, DType dtype) {
    const Tensor scalars(on, {StepScalars::kCount}, DType::f64);
    on.run(SquaredNorm{.scalars = scalars, .g = random(on, n, 1, dtype)});
    return download_real(scalars)[StepScalars::norm_squared];
  };
  const auto magnitudes = [](Backend& on, Index n, Index skipped) {  // at any address
    const Tensor sums(on, {sum_pieces(n - skipped)}, DType::f64);
    on.run(SumMagnitudes{.sums = sums, .w = random(on, n, 2).slice(skipped, n - skipped)});
    return download_real(sums);
  };
  for (const Index n : {1, 3, 1023, 1024, 4096, 4097, 32768, 32769, 100'001, 1'234'567}) {
    for (const DType dtype : {DType::f32, DType::bf16})
      EXPECT_EQ(squares(gpu(kSlab), n, dtype), squares(cpu_, n, dtype)) << n << ' ' << dtype;
    for (const Index skipped : {0, 1, 4})
      if (skipped < n) {
        EXPECT_EQ(magnitudes(gpu(kSlab), n, skipped), magnitudes(cpu_, n, skipped)) << n;
      }
  }
}

TEST_F(CudaUpdate, TernaryCopiesAndCountsAreTheCpus) {
  UpdateCase want(cpu_, kExact), got(gpu(kSlab), kExact);
  const auto compare = [&](const char* when) {
    EXPECT_EQ(got.bytes(got.ternary().magnitudes()), want.bytes(want.ternary().magnitudes()))
        << when;
    EXPECT_EQ(got.bytes(got.ternary().scales()), want.bytes(want.ternary().scales())) << when;
    EXPECT_EQ(got.bytes(got.ternary().codes()), want.bytes(want.ternary().codes())) << when;
  };
  compare("at the start");
  for (UpdateCase* update : {&want, &got}) {  // other weights, exactly the same on both
    for (Parameter& p : update->parameters()) {
      Values w = download_real(p.value);
      std::reverse(w.begin(), w.end());
      upload_real(p.value, w);
    }
    update->ternary().sum_magnitudes();
    update->ternary().quantize(true);
  }
  compare("reversed");
  EXPECT_EQ(download_real(got.ternary().stats()), download_real(want.ternary().stats()));
}

TEST_F(CudaUpdate, AMatrixThatIsNotFiniteHasNoCodes) {
  UpdateCase update(gpu(kSlab), kExact);
  Parameter& bad = update.parameters()[1];
  Values w = download_real(bad.value);
  w[77] = NAN;
  upload_real(bad.value, w);
  update.ternary().sum_magnitudes();
  update.ternary().quantize(true);
  for (const Parameter& p : update.parameters())
    if (p.ternary) {
      EXPECT_EQ(std::isnan(download_real(p.copy.scale)[0]), &p == &bad);
    }
  EXPECT_EQ(download_real(update.ternary().stats())[2], double(w.size()));  // all zeros
}

// Gradients are multiples of 2^-7: with b1 = b2 = 1/2 two steps are exact in f32 but for the
// weight.
TEST_F(CudaUpdate, MomentsAndTheirRoundingHaveTheCpusBits) {
  for (const AdamWOptions& options : {kExact, kExactHalf}) {
    UpdateCase want(cpu_, options), got(gpu(kSlab), options);
    for (std::uint64_t s = 0; s < 2; ++s) want.step(s), got.step(s);
    EXPECT_EQ(got.bytes(got.adam().first_moment()), want.bytes(want.adam().first_moment()));
    EXPECT_EQ(got.bytes(got.adam().second_moment()), want.bytes(want.adam().second_moment()));
    const Values a = download_real(got.pack().values()), b = download_real(want.pack().values());
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-6) << i;
  }
}

// bf16 holds the case's gradients exactly.
TEST_F(CudaUpdate, HalfGradientsGiveTheBitsOfSinglePrecision) {
  for (const AdamWOptions& options : {AdamWOptions{}, kExactHalf}) {
    UpdateCase half(gpu(kSlab), options, DType::f32, DType::bf16), single(gpu(kSlab), options);
    for (std::uint64_t s = 0; s < 3; ++s) half.step(s), single.step(s);
    EXPECT_EQ(half.state(), single.state());
  }
}

TEST_F(CudaUpdate, AdamWLeavesTheSumsThatAPassOfTheirOwnMakes) {
  for (const AdamWOptions& options : {AdamWOptions{}, kExactHalf}) {
    UpdateCase update(gpu(kSlab), options);
    for (std::uint64_t s = 0; s < 3; ++s) update.step(s);
    const auto state = update.state();
    update.ternary().sum_magnitudes();
    update.ternary().quantize();
    EXPECT_EQ(update.state(), state);
    EXPECT_FALSE(update.step(9, NAN, true).applied);
    EXPECT_EQ(update.state(), state);
  }
}

TEST_F(CudaUpdate, TheSameBitsTwiceAndFollowsTheCpu) {
  for (const AdamWOptions& options : {AdamWOptions{}, AdamWOptions{.moments = DType::bf16}}) {
    UpdateCase want(cpu_, options), got(gpu(kSlab), options), again(gpu(kSlab), options);
    for (std::uint64_t s = 0; s < 10; ++s) want.step(s), got.step(s), again.step(s);
    EXPECT_EQ(got.state(), again.state());
    const Values a = download_real(got.pack().values()), b = download_real(want.pack().values());
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
    // A moment one unit of f32 away may be rounded to the other bf16.
    EXPECT_LE(worst, options.moments ? 2e-3 : tolerance::kSinglePrecision);
  }
}

TEST_F(CudaUpdate, TakesTheMemoryOfThePlan) {
  for (const AdamWOptions& options : {AdamWOptions{}, kExactHalf}) {
    const auto run = [&](Backend& on) {
      UpdateCase update(on, options, DType::f32, options.moments);
      update.step(1, 1, true);
      return on.pool().high_water();
    };
    DryBackend dry(gpu(kSlab).traits());
    const std::size_t planned = run(dry);
    CudaBackend exact(0, planned);  // not one byte more
    EXPECT_EQ(run(exact), planned);
  }
}

}  // namespace
}  // namespace tern
