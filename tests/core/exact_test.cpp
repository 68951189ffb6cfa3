// What is exact: quantisers to the last code, ternary products to the last bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"
#include "core/rng.h"

namespace tern {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::IsNan;
using Values = std::vector<double>;

class Exact : public testing::TestWithParam<DType> {
 protected:
  Tensor tensor(const Shape& shape, const Values& values) {
    const Tensor t(cpu_, shape, GetParam());
    upload_real(t, values);
    return t;
  }
  std::vector<std::int8_t> codes(const Tensor& t) {
    std::vector<std::int8_t> q(std::size_t(t.elements()), 0);
    cpu_.download(q.data(), t);
    return q;
  }
  Tensor coded(const Shape& shape, const std::vector<std::int8_t>& values) {
    const Tensor t(cpu_, shape, DType::i8);
    cpu_.upload(t, values.data());
    return t;
  }
  Quantized quantized(Index N, Index D, const Values& x) {
    const Quantized y{.q = Tensor(cpu_, {N, D}, DType::i8),
                      .row_scale = Tensor(cpu_, {N}, GetParam())};
    cpu_.run(QuantizeRows{.y = y, .x = tensor({N, D}, x)});
    return y;
  }
  TernaryWeight ternary(Index O, Index I, const Values& w) {
    const TernaryWeight y{.t = Tensor(cpu_, {O, I}, DType::i8),
                          .scale = Tensor(cpu_, {1}, GetParam())};
    quantize(y, tensor({O, I}, w));
    return y;
  }
  void quantize(const TernaryWeight& y, const Tensor& w, const Tensor& stats = {}) {
    const Tensor sums(cpu_, {sum_pieces(w.elements())}, DType::f64);
    cpu_.run(SumMagnitudes{.sums = sums, .w = w});
    cpu_.run(QuantizeTernary{.y = y, .stats = stats, .w = w, .magnitudes = sums});
  }
  CpuBackend cpu_{std::size_t(16) << 20};
};

TEST_P(Exact, RowsRoundHalvesToEven) {
  // absmax 127: scale exactly 1
  const Quantized one = quantized(1, 8, {127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5});
  EXPECT_THAT(codes(one.q), ElementsAre(127, 0, 2, 2, 0, -2, -2, 126));
  // absmax 127/4: scale 4, ties at multiples of 1/8
  const Quantized four = quantized(1, 5, {31.75, 0.125, -0.125, 0.375, -0.625});
  EXPECT_THAT(codes(four.q), ElementsAre(127, 0, 0, 2, -2));
  EXPECT_THAT(download_real(four.row_scale), ElementsAre(4));
}

TEST_P(Exact, TernaryRoundsHalvesToEven) {
  // mean |w| = 1: ties at +-0.5 and +-1.5
  EXPECT_THAT(codes(ternary(2, 2, {0.5, -0.5, 1.5, -1.5}).t), ElementsAre(0, 0, 1, -1));
  // mean |w| = 1/4: +-0.5 / scale is +-1/8; its neighbours fall on either side
  const double tie = 0.125, up = GetParam() == DType::f32 ? double(std::nextafter(0.125f, 1.0f))
                                                          : std::nextafter(0.125, 1.0);
  const double rest = 0.25 * 6 - 2 * tie - 2 * up;  // of the sum of absolute values
  const TernaryWeight w = ternary(1, 6, {tie, -tie, up, -up, rest / 2, -rest / 2});
  ASSERT_THAT(download_real(w.scale), ElementsAre(4));
  EXPECT_THAT(codes(w.t), ElementsAre(0, 0, 1, -1, 1, -1));
}

TEST_P(Exact, ScalesAreTrueDivisionsAndBounded) {
  const auto real = [&](double v) { return GetParam() == DType::f32 ? double(float(v)) : v; };
  const Values third = download_real(quantized(1, 2, {0.1, 0.3}).row_scale);
  EXPECT_EQ(third[0], GetParam() == DType::f32 ? double(127.0f / 0.3f) : 127 / 0.3);
  // nothing and less than 1e-5: as if absmax, or mean |w|, were 1e-5
  const Quantized tiny = quantized(2, 2, {0, 0, 4e-6, -1e-40});
  const double bound = GetParam() == DType::f32 ? double(127.0f / 1e-5f) : 127 / 1e-5;
  EXPECT_THAT(download_real(tiny.row_scale), ElementsAre(bound, bound));
  EXPECT_THAT(codes(tiny.q), ElementsAre(0, 0, 51, 0));  // 50.8
  const TernaryWeight zero = ternary(1, 2, {0, 0}), small = ternary(1, 2, {1e-5, 1e-6});
  EXPECT_EQ(download_real(zero.scale)[0], real(GetParam() == DType::f32 ? 1 / 1e-5f : 1 / 1e-5));
  EXPECT_EQ(download_real(small.scale), download_real(zero.scale));
  EXPECT_THAT(codes(zero.t), ElementsAre(0, 0));
  EXPECT_THAT(codes(small.t), ElementsAre(1, 0));
}

TEST_P(Exact, WhatIsNotFiniteGetsANanScaleAndNoCodes) {
  for (const double bad : {double(NAN), double(INFINITY), -double(INFINITY)}) {
    const Quantized rows = quantized(2, 3, {1, bad, 2, 1, 2, 4});
    EXPECT_THAT(download_real(rows.row_scale)[0], IsNan());
    EXPECT_EQ(download_real(rows.row_scale)[1], 127 / 4.0);
    EXPECT_THAT(codes(rows.q), ElementsAre(0, 0, 0, 32, 64, 127));
    const TernaryWeight w = ternary(1, 3, {1, bad, 2});
    EXPECT_THAT(download_real(w.scale)[0], IsNan());
    EXPECT_THAT(codes(w.t), Each(0));
  }
}

TEST_P(Exact, TernaryStatsCountZerosAndFlips) {
  const TernaryWeight w = ternary(1, 5, {4, -4, 1, 1, 0});  // mean 2: 1, -1, 0 (tie), 0, 0
  const Tensor stats(cpu_, {1, 2}, DType::f64);
  quantize(w, tensor({1, 5}, {4, 4, 2, 0, 0}), stats);
  EXPECT_THAT(codes(w.t), ElementsAre(1, 1, 1, 0, 0));
  EXPECT_THAT(download_real(stats), ElementsAre(2, 2));
}

struct ProductSize {
  Index N, O, I;
};

// y = sum / (row_scale * scale) with an int64 sum, to the last bit, whatever the tiling, and
// however the weights are stored.
TEST_P(Exact, TernaryProductIsTheIntegerSumDividedOnce) {
  for (const auto& [N, O, I] :
       {ProductSize{1, 1, 1}, ProductSize{1, 3, 2}, ProductSize{3, 1, 33}, ProductSize{7, 5, 255},
        ProductSize{2, 257, 64}, ProductSize{257, 3, 65}, ProductSize{256, 256, 31},
        ProductSize{300, 270, 129}, ProductSize{5, 2, 6912}, ProductSize{1, 1, 132104},
        ProductSize{9, 1, 132104}}) {
    const Rng rng(11, std::uint64_t(N * 1000 + O * 10 + I));
    std::vector<std::int8_t> q(std::size_t(N * I)), t(std::size_t(O * I));
    for (std::size_t k = 0; k < q.size(); ++k) q[k] = std::int8_t(rng.bits(k) % 255 - 127);
    for (std::size_t k = 0; k < t.size(); ++k) t[k] = std::int8_t(rng.bits(k + (1 << 30)) % 3 - 1);
    if (I > 100000) std::fill(q.begin(), q.end(), 127), std::fill(t.begin(), t.end(), -1);
    Values scales(std::size_t(N), 0);
    for (Index n = 0; n < N; ++n) scales[n] = double(float(30 + 100 * rng.uniform(5 + n)));
    const double scale = double(37.3f);
    const Quantized x{.q = coded({N, I}, q), .row_scale = tensor({N}, scales)};
    const TernaryWeight bytes{.t = coded({O, I}, t), .scale = tensor({1}, {scale})};
    const TernaryWeight tiles{.t = Tensor(cpu_, {O, I}, DType::t2), .scale = bytes.scale};
    pack_tiles(tiles.t, bytes.t);
    const Tensor y(cpu_, {N, O}, GetParam()), of_tiles(cpu_, {N, O}, GetParam());
    cpu_.run(TernaryProduct{.y = y, .x = x, .w = bytes});
    cpu_.run(TernaryProduct{.y = of_tiles, .x = x, .w = tiles});
    const Values got = download_real(y);
    EXPECT_EQ(download_real(of_tiles), got) << N << ' ' << O << ' ' << I;
    Index wrong = 0;
    for (Index n = 0; n < N; ++n)
      for (Index o = 0; o < O; ++o) {
        std::int64_t sum = 0;
        for (Index i = 0; i < I; ++i) sum += std::int64_t(q[n * I + i]) * t[o * I + i];
        const double want = GetParam() == DType::f32
                                ? double(float(sum) / (float(scales[n]) * float(scale)))
                                : double(sum) / (scales[n] * scale);
        wrong += got[n * O + o] != want;
      }
    EXPECT_EQ(wrong, 0) << N << ' ' << O << ' ' << I;
  }
}

INSTANTIATE_TEST_SUITE_P(Real, Exact, testing::Values(DType::f32, DType::f64),
                         [](const auto& p) { return name_of(p.param); });

}  // namespace
}  // namespace tern
