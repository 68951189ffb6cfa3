// Moments in bf16: on paper, beside those in f32, and the same bits when a run goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/bfloat16.h"
#include "core/cpu/cpu_backend.h"
#include "tests/support/complaint.h"
#include "tests/support/update_case.h"

namespace tern {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Values = std::vector<double>;

const AdamWOptions kHalf{.clip = 0, .moments = DType::bf16, .seed = 3};

// What bf16 holds is stored exactly: b1 = b2 = 1/2, gradients 4, -2, 0 give m = 2, -1, 0 and
// v = 8, 2, 0; then 0, 2, 4: m = 1, 1/2, 2 and v = 4, 3, 8.
TEST(HalfMoments, ExactNumbersStayExact) {
  CpuBackend cpu(1 << 20);
  Parameter w{.name = "w", .shape = {3}};
  ParameterPack pack(cpu, {&w}, {.dtype = DType::f32});
  AdamWOptimizer adam(pack, {.beta1 = 0.5, .beta2 = 0.5, .clip = 0, .moments = DType::bf16});
  const auto step = [&](const Values& g) {
    adam.begin_step(0.1, 0);
    w.grad.claim(0, 3);
    upload_real(w.grad.tensor, g);
    adam.step();
  };
  step({4, -2, 0});
  EXPECT_THAT(download_real(pack.view(adam.first_moment(), w)), ElementsAre(2, -1, 0));
  EXPECT_THAT(download_real(pack.view(adam.second_moment(), w)), ElementsAre(8, 2, 0));
  step({0, 2, 4});
  EXPECT_THAT(download_real(pack.view(adam.first_moment(), w)), ElementsAre(1, 0.5, 2));
  EXPECT_THAT(download_real(pack.view(adam.second_moment(), w)), ElementsAre(4, 3, 8));
}

// The first step stores the moments of f32, each rounded by its own half of its own word; the
// weights do not see the rounding yet.
TEST(HalfMoments, EachElementIsRoundedByItsWord) {
  CpuBackend cpu(std::size_t(32) << 20);
  UpdateCase half(cpu, kHalf), full(cpu, {.clip = 0});
  half.step(1), full.step(1);
  EXPECT_EQ(download_real(half.pack().values()), download_real(full.pack().values()));
  const auto bits = [&](UpdateCase& c, const Tensor& t) {
    const std::vector<std::byte> raw = c.bytes(t);
    std::vector<std::uint32_t> out;
    const std::size_t size = std::size_t(tern::bits(t.dtype())) / 8;
    for (std::size_t i = 0; i < raw.size(); i += size) {
      std::uint32_t word = 0;
      std::memcpy(&word, raw.data() + i, size);
      out.push_back(word);
    }
    return out;
  };
  const auto m = bits(half, half.adam().first_moment()),
             v = bits(half, half.adam().second_moment());
  const auto m32 = bits(full, full.adam().first_moment()),
             v32 = bits(full, full.adam().second_moment());
  for (std::size_t i = 0; i < m.size(); ++i) {
    const std::uint32_t word = moment_words(3, 1, i / 4)[i % 4];
    ASSERT_EQ(m[i], round_stochastically(m32[i], word & 0xffff)) << i;
    ASSERT_EQ(v[i], round_stochastically(v32[i], word >> 16)) << i;
  }
}

// A second moment that round-to-nearest would freeze: 1 decays by 1/1000 a step, bf16 has 1/256.
TEST(HalfMoments, SmallChangesArriveOnAverage) {
  CpuBackend cpu(std::size_t(4) << 20);
  Parameter w{.name = "w", .shape = {4096}};
  ParameterPack pack(cpu, {&w}, {.dtype = DType::f32});
  AdamWOptimizer adam(pack, {.beta1 = 0.999, .beta2 = 0.999, .clip = 0, .moments = DType::bf16});
  upload_real(adam.first_moment(), Values(4096, 1));
  upload_real(adam.second_moment(), Values(4096, 1));
  for (int s = 0; s < 100; ++s) {
    adam.begin_step(0, 0);
    adam.step();
  }
  for (const Tensor& t : {adam.first_moment(), adam.second_moment()}) {
    double mean = 0;
    for (const double x : download_real(t)) mean += x / 4096;
    EXPECT_NEAR(mean, std::pow(0.999, 100), 1e-3);
  }
}

TEST(HalfMoments, FollowThoseInSinglePrecision) {
  CpuBackend cpu(std::size_t(32) << 20);
  UpdateCase half(cpu, kHalf), full(cpu, {.clip = 0});
  for (std::uint64_t s = 0; s < 20; ++s) half.step(s), full.step(s);
  const Values a = download_real(half.pack().values()), b = download_real(full.pack().values());
  double difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference = std::max(difference, std::abs(a[i] - b[i]));
  EXPECT_LT(difference, 0.01);  // one step's length, after twenty
  EXPECT_GT(difference, 0);
}

TEST(HalfMoments, TakeFourBytesLessForEachParameter) {
  CpuBackend cpu(std::size_t(32) << 20);
  UpdateCase half(cpu, kHalf), full(cpu, {});
  const std::size_t parameters = std::size_t(half.pack().values().elements());
  const auto moments = [](UpdateCase& c) {
    return c.adam().first_moment().bytes() + c.adam().second_moment().bytes();
  };
  EXPECT_EQ(moments(full) - moments(half), 4 * parameters);
}

// Values, moments and the step count are all that a later step depends on.
TEST(HalfMoments, GoOnToTheSameBits) {
  CpuBackend cpu(std::size_t(64) << 20);
  UpdateCase whole(cpu, kHalf), parts(cpu, kHalf), other(cpu, {.clip = 0, .moments = DType::bf16});
  for (std::uint64_t s = 0; s < 4; ++s) whole.step(s), other.step(s);
  const auto want = whole.state();
  EXPECT_NE(other.state(), want) << "the seed decides nothing";
  for (std::uint64_t s = 0; s < 2; ++s) parts.step(s);
  UpdateCase resumed(cpu, kHalf);
  cpu.copy(resumed.pack().values(), parts.pack().values());
  cpu.copy(resumed.adam().first_moment(), parts.adam().first_moment());
  cpu.copy(resumed.adam().second_moment(), parts.adam().second_moment());
  resumed.adam().set_adam_steps(2);
  for (std::uint64_t s = 2; s < 4; ++s) resumed.step(s);
  EXPECT_EQ(resumed.state(), want);
}

TEST(HalfMoments, ASkippedStepChangesNoBit) {
  CpuBackend cpu(std::size_t(32) << 20);
  UpdateCase update(cpu, kHalf);
  update.step(1);
  const auto state = update.state();
  EXPECT_FALSE(update.step(2, INFINITY).applied);
  EXPECT_EQ(update.state(), state);
}

TEST(HalfMoments, AreRefusedBesideDoubles) {
  CpuBackend cpu(std::size_t(32) << 20);
  EXPECT_THAT(
      complaint([&] { UpdateCase(cpu, kHalf, DType::f64); }),
      HasSubstr("[AdamW] expected moments in f64, or in bf16 with f32 parameters, got bf16"));
}

}  // namespace
}  // namespace tern
