// The update as a whole: sums of |w| that AdamW leaves, and the ternary copies made from them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "core/cpu/cpu_backend.h"
#include "tests/support/complaint.h"
#include "tests/support/update_case.h"

namespace tern {
namespace {

using testing::Each;
using testing::HasSubstr;
using Values = std::vector<double>;

class ThreePasses : public testing::TestWithParam<DType> {
 protected:
  std::vector<std::int8_t> codes(const Tensor& t) {
    std::vector<std::int8_t> q(std::size_t(t.elements()), 0);
    cpu_.download(q.data(), t);
    return q;
  }
  // one matrix quantised by itself
  TernaryWeight alone(const Tensor& w) {
    const TernaryWeight y{.t = Tensor(cpu_, w.shape(), DType::i8),
                          .scale = Tensor(cpu_, {1}, w.dtype())};
    const Tensor sums(cpu_, {sum_pieces(w.elements())}, DType::f64);
    cpu_.run(SumMagnitudes{.sums = sums, .w = w});
    cpu_.run(QuantizeTernary{.y = y, .w = w, .magnitudes = sums});
    return y;
  }
  CpuBackend cpu_{std::size_t(32) << 20};
};

TEST_P(ThreePasses, AllMatricesTogetherAreQuantisedAsEachAlone) {
  UpdateCase update(cpu_, {}, GetParam());
  for (int step = 0; step < 3; ++step) {
    for (Parameter& p : update.parameters()) {
      if (!p.ternary) continue;
      const TernaryWeight together = p.copy, single = alone(p.value);
      EXPECT_EQ(codes(together.t), codes(single.t)) << p.shape;
      EXPECT_EQ(update.bytes(together.scale), update.bytes(single.scale)) << p.shape;
      EXPECT_EQ(together.t.shape(), p.shape);
    }
    update.step(std::uint64_t(step));
  }
}

TEST_P(ThreePasses, AdamWLeavesTheSumsThatAPassOfTheirOwnMakes) {
  UpdateCase update(cpu_, {}, GetParam());
  const auto first = update.bytes(update.ternary().magnitudes());
  update.step(1);
  const auto left = update.bytes(update.ternary().magnitudes());
  const auto state = update.state();
  EXPECT_NE(left, first);
  update.ternary().sum_magnitudes();
  EXPECT_EQ(update.bytes(update.ternary().magnitudes()), left);
  update.ternary().quantize();
  EXPECT_EQ(update.state(), state);
}

TEST_P(ThreePasses, ASkippedUpdateLeavesCopiesAndSumsAsTheyWere) {
  UpdateCase update(cpu_, {}, GetParam());
  update.step(1);
  const auto state = update.state();
  EXPECT_FALSE(update.step(2, NAN, true).applied);
  EXPECT_EQ(update.state(), state);
  const Values stats = download_real(update.ternary().stats());
  for (std::size_t m = 0; m < 5; ++m) EXPECT_EQ(stats[2 * m + 1], 0) << "flips of matrix " << m;
  EXPECT_GT(stats[2 * 1], 0) << "zeros";
}

TEST_P(ThreePasses, CountsZerosAndFlipsOfEachMatrix) {
  UpdateCase update(cpu_, {}, GetParam());
  std::vector<std::vector<std::int8_t>> before;
  for (Parameter& p : update.parameters())
    if (p.ternary) before.push_back(codes(p.copy.t));
  for (std::uint64_t s = 0; s < 3; ++s) update.step(s);  // not counted, so that codes move further
  for (std::size_t m = 0; m < before.size(); ++m) before[m] = codes(update.parameters()[m].copy.t);
  update.step(7, 1, true);
  const Values stats = download_real(update.ternary().stats());
  double flips = 0;
  for (std::size_t m = 0; m < before.size(); ++m) {
    const auto now = codes(update.parameters()[m].copy.t);
    double zero = 0, flipped = 0;
    for (std::size_t i = 0; i < now.size(); ++i)
      zero += now[i] == 0, flipped += now[i] != before[m][i];
    EXPECT_EQ(stats[2 * m], zero) << m;
    EXPECT_EQ(stats[2 * m + 1], flipped) << m;
    flips += flipped;
  }
  EXPECT_GT(flips, 0);
}

TEST_P(ThreePasses, AMatrixThatIsNotFiniteHarmsNoOther) {
  UpdateCase update(cpu_, {}, GetParam());
  Parameter& bad = update.parameters()[2];
  Values w = download_real(bad.value);
  w.back() = INFINITY;
  upload_real(bad.value, w);
  update.ternary().sum_magnitudes();
  update.ternary().quantize();
  for (Parameter& p : update.parameters()) {
    if (!p.ternary) continue;
    const TernaryWeight t = p.copy;
    EXPECT_EQ(std::isnan(download_real(t.scale)[0]), &p == &bad);
    if (&p == &bad) {
      EXPECT_THAT(codes(t.t), Each(0));
    }
  }
}

TEST_P(ThreePasses, PaddingStaysZero) {
  UpdateCase update(cpu_, {}, GetParam());
  for (std::uint64_t s = 0; s < 3; ++s) update.step(s);
  const Values values = download_real(update.pack().values());
  const auto all = codes(update.ternary().codes());
  const Index starts[] = {0,        4096,     2 * 4096,
                          4 * 4096, 5 * 4096, 10 * 4096};  // 4097 take two pieces
  for (std::size_t m = 0; m < 5; ++m)
    for (Index i = starts[m] + update.parameters()[m].shape.elements(); i < starts[m + 1]; ++i)
      ASSERT_TRUE(values[std::size_t(i)] == 0 && all[std::size_t(i)] == 0) << m << ' ' << i;
  EXPECT_EQ(update.pack().ternary_elements(), starts[5]);
}

TEST_P(ThreePasses, TheSameBitsOnAnyNumberOfThreads) {
  std::vector<AdamWOptions> all = {{}};
  if (GetParam() == DType::f32) all.push_back({.moments = DType::bf16, .seed = 9});
  for (const AdamWOptions& options : all) {
    std::vector<std::byte> want;
    for (const int threads : {1, 2, 3, 5}) {
      omp_set_num_threads(threads);
      UpdateCase update(cpu_, options, GetParam());
      for (std::uint64_t s = 0; s < 3; ++s) update.step(s, 1, s == 1);
      if (threads == 1) want = update.state();
      EXPECT_EQ(update.state(), want) << threads;
    }
  }
  omp_set_num_threads(omp_get_num_procs());
}

INSTANTIATE_TEST_SUITE_P(Real, ThreePasses, testing::Values(DType::f32, DType::f64),
                         [](const auto& p) { return std::string(name_of(p.param)); });

TEST(TernaryCopies, RefusesMatricesThatDoNotFillTheirBuffer) {
  CpuBackend cpu(1 << 20);
  const Tensor w(cpu, {2 * kSumPiece}, DType::f32);
  using Matrix = TernaryCopies::Matrix;
  const auto make = [&](const std::vector<Matrix>& places) {
    return complaint([&] { TernaryCopies(w, places, {}); });
  };
  EXPECT_THAT(make({{0, 5}}), HasSubstr("expected matrices that fill 2 pieces, got 1"));
  EXPECT_THAT(make({{64, 5}, {4096, 5}}),
              HasSubstr("each at the start of a piece of 4096, got one at 64"));
  EXPECT_THAT(make({{0, 5000}, {4096, 5}}), HasSubstr("expected matrices in order"));
  EXPECT_EQ(make({{0, 5}, {4096, 4096}}), "");
}

}  // namespace
}  // namespace tern
