// The accelerator's instructions against f64, each within the bound that its format gives.
#include "rtl/model/operations.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/rng.h"

namespace tern::rtl {
namespace {

double real_sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

// every argument that there is
TEST(Operations, SigmoidIsWithin1e4Everywhere) {
  double worst = 0, worst_silu = 0;
  for (std::int32_t x = -32768; x < 32768; ++x) {
    const double z = std::ldexp(x, -kGateFraction);
    worst = std::max(worst, std::abs(std::ldexp(sigmoid(x), -kSigmoidFraction) - real_sigmoid(z)));
    worst_silu =
        std::max(worst_silu, std::abs(std::ldexp(silu(x), -kSiluFraction) - z * real_sigmoid(z)));
    EXPECT_TRUE(x == 0 || sigmoid(x) + sigmoid(-x) == 1 << kSigmoidFraction) << x;
    EXPECT_GE(sigmoid(x), 0);
  }
  EXPECT_LT(worst, 1e-4);
  EXPECT_LT(worst_silu, 4e-4);
}

// Lines are shifted by different amounts, so from one to the next it may fall by a unit.
TEST(Operations, SigmoidFallsByOneUnitAtMost) {
  int falls = 0;
  for (std::int32_t x = -32768; x < 32767; ++x) {
    ASSERT_LE(sigmoid(x), sigmoid(x + 1) + 1) << x;
    falls += sigmoid(x) > sigmoid(x + 1);
  }
  EXPECT_LT(falls, 256);
}

TEST(Operations, NormVectorsHaveFifteenBits) {
  const std::vector<double> weights = {0.3, -1.7, 0, 1e-6};
  const NormVector v = norm_vector(weights);
  for (std::size_t i = 0; i < weights.size(); ++i)
    EXPECT_NEAR(std::ldexp(v.mantissas[i], -v.fraction), weights[i], std::ldexp(0.5, -v.fraction));
  EXPECT_GE(std::abs(v.mantissas[1]), 1 << 14);
  EXPECT_EQ(norm_vector(std::vector<double>{1.0}).mantissas[0], 1 << 14);
}

Vector random_row(const Rng& rng, std::uint64_t seed, std::size_t n, int bits) {
  Vector x;
  for (std::size_t i = 0; i < n; ++i)
    x.push_back(std::int32_t(std::int64_t(rng.bits(seed * 1000 + i)) >> (64 - bits)));
  return x;
}

// A code is off by one at most, and only beside an edge: 17 bits under the row's largest.
TEST(Operations, CodesAreThoseOfTheQuotient) {
  const Rng rng(3);
  Saturation saturate;
  std::int64_t differ = 0, codes = 0;
  for (std::uint64_t row = 0; row < 1000; ++row) {
    const Vector x = random_row(rng, row, 96, 2 + int(row % 26));
    std::vector<double> weights;
    for (std::size_t i = 0; i < x.size(); ++i) weights.push_back(0.2 + rng.uniform(row * 1000 + i));
    const NormVector w = norm_vector(weights), block = norm_vector({&weights[3], 1});
    NormVector all_block = block;
    all_block.mantissas.assign(x.size(), block.mantissas[0]);
    const QuantizedRow got = quantize(x, w, saturate, &all_block);
    double top = 0, squares = 0, of_norm = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      top = std::max(top, std::abs(double(x[i]) * w.mantissas[i]));
      squares += double(x[i]) * x[i];
      of_norm += std::pow(double(x[i]) * all_block.mantissas[i] / 32768, 2);
    }
    EXPECT_EQ(double(got.largest), top);
    EXPECT_NEAR(std::ldexp(double(got.squares), 2 * got.shift), squares, squares * 2e-4);
    // the products of small rows are rounded to whole numbers
    EXPECT_NEAR(std::sqrt(std::ldexp(double(got.of_norm), 2 * got.shift)), std::sqrt(of_norm),
                std::sqrt(of_norm) * 2e-4 + std::ldexp(0.5 * std::sqrt(96.0), got.shift));
    for (std::size_t i = 0; i < x.size(); ++i, ++codes) {
      const double exact = top == 0 ? 0 : 127 * double(x[i]) * w.mantissas[i] / top;
      EXPECT_NEAR(got.q[i], exact, 0.5 + 0.004);
      differ += got.q[i] != std::lrint(exact);
    }
  }
  EXPECT_LT(differ, codes / 200);
}

TEST(Operations, ReciprocalsHaveSeventeenBits) {
  for (std::int64_t largest = 1; largest < 1 << 17; ++largest) {
    const Reciprocal r = code_reciprocal(largest);
    ASSERT_EQ(bit_length(std::uint64_t(r.mantissa)), 17) << largest;
    const std::int64_t dividend = std::int64_t(127) << r.shift;
    ASSERT_TRUE(r.mantissa * largest <= dividend && (r.mantissa + 1) * largest > dividend);
  }
}

TEST(Operations, CornersOfCodes) {
  const NormVector w = norm_vector(std::vector<double>(4, 1.0));
  Saturation saturate;
  EXPECT_EQ(quantize(Vector{0, 0, 0, 0}, w, saturate).q, (std::vector<std::int8_t>{0, 0, 0, 0}));
  EXPECT_EQ(quantize(Vector{0, -1, 0, 0}, w, saturate).q,
            (std::vector<std::int8_t>{0, -127, 0, 0}));
  // each power of two, and what rounds up to the next
  for (int bits = 1; bits < 27; ++bits)
    for (const std::int32_t top : {1 << (bits - 1), (1 << bits) - 1}) {
      const QuantizedRow row = quantize(Vector{top, -top, top / 2, 0}, w, saturate);
      EXPECT_EQ(row.q[0], 127) << top;
      EXPECT_EQ(row.q[1], -127) << top;
      EXPECT_NEAR(row.q[2], 127.0 * (top / 2) / top, 0.51) << top;
      EXPECT_EQ(row.q[3], 0);
    }
}

TEST(Operations, SumsAreNarrowedToEighteenBits) {
  EXPECT_EQ(sum_shift(1024), 0);
  EXPECT_EQ(sum_shift(1032), 0);
  EXPECT_EQ(sum_shift(1033), 1);
  EXPECT_EQ(sum_shift(2560), 2);
  EXPECT_EQ(sum_shift(6912), 3);
  for (const std::int64_t inputs : {1, 1032, 1033, 2560, 6912, 13824}) {
    const Vector sums = {std::int32_t(127 * inputs), std::int32_t(-127 * inputs)};
    for (const std::int32_t s : sums)
      EXPECT_LE(std::abs(round_shift(s, sum_shift(inputs))), 1 << 17);
  }
}

TEST(Operations, SumsTimesTheirScale) {
  const Rng rng(4);
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    const auto sum = std::int32_t(std::int64_t(rng.bits(2 * i)) >> 46);
    const Scalar g = scalar_of(std::ldexp(0.5 + rng.uniform(2 * i + 1), int(i % 30) - 25));
    const double exact = std::ldexp(sum * real_of(g), kGateFraction);
    const auto got = double(scale_sum(sum, factor_of(g), kGateFraction));
    EXPECT_NEAR(got, exact, 0.5 + std::abs(exact) / 65536);
  }
  EXPECT_GT(scale_sum(1, factor_of(scalar_of(1e9)), 16), std::int64_t(1) << 35) << "saturates";
  EXPECT_EQ(scale_sum(1000, {}, 16), 0);
  EXPECT_EQ(scale_sum(131071, factor_of(scalar_of(1e-30)), 16), 0);
}

// Rows of sums, narrowed by each shift that there is: their products with g stay what they were.
TEST(Operations, NarrowedSumsKeepTheirScale) {
  const Rng rng(7);
  for (int shift = 0; shift <= 3; ++shift) {
    Saturation saturate;
    const Vector sums = random_row(rng, std::uint64_t(shift), 500, 18 + shift),
                 x = random_row(rng, std::uint64_t(9 + shift), 500, 24);
    const Scalar g = scalar_of(std::ldexp(1.7, -14 - shift));
    const ScaledSums product{sums, shift, g};
    const Vector added = add_scaled(x, product, 16, saturate),
                 silus = silu_of_sums(product, saturate),
                 gates = closed_gates(product, {}, saturate);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const double y = sums[i] * real_of(g), unit = std::ldexp(real_of(g), shift);
      EXPECT_NEAR(added[i], x[i] + std::ldexp(y, 16), 1.5 + std::ldexp(unit, 16) + std::abs(y));
      EXPECT_NEAR(std::ldexp(silus[i], -kSiluFraction), y * real_sigmoid(y), 2e-3);
      EXPECT_NEAR(std::ldexp(gates[i], -kSigmoidFraction), real_sigmoid(-y), 5e-4);
    }
    const Vector halves(500, 1 << 14);
    const Vector products = multiply_rows(sums, shift, halves, 9, saturate);
    double squares = 0;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      EXPECT_NEAR(products[i], std::ldexp(sums[i], 5 - shift), 17);
      squares += std::pow(std::ldexp(sums[i], -shift), 2);
    }
    EXPECT_NEAR(double(sum_squares(sums, shift)), squares, squares * 1e-4);
    EXPECT_EQ(saturate.count(), 0);
  }
}

TEST(Operations, WhatAMultiplierReadsSaturates) {
  Saturation saturate;
  const Vector a = {1 << 17, -(1 << 17), (1 << 18) + 1};
  EXPECT_EQ(multiply_rows(a, 0, Vector{1, 1, 1}, 0, saturate),
            (Vector{(1 << 17) - 1, -(1 << 17), (1 << 17) - 1}));
  EXPECT_EQ(saturate.count(), 2);
  EXPECT_EQ(multiply_rows(a, 1, Vector{2, 2, 2}, 0, saturate),
            (Vector{1 << 17, -(1 << 17), (1 << 18) - 2}));
  EXPECT_EQ(saturate.count(), 3) << "131072.5 is rounded to even";
  EXPECT_EQ(multiply_rows(Vector{2, 2}, 0, Vector{1 << 17, -(1 << 18)}, 0, saturate),
            (Vector{(1 << 18) - 2, -(1 << 18)}));
  EXPECT_EQ(saturate.count(), 5);
}

TEST(Operations, TheGateOpensToItsBound) {
  EXPECT_NEAR(closed_gate(0, 1 << kBoundFraction), 1 << (kSigmoidFraction - 1), 13);  // 1e-4
  EXPECT_NEAR(closed_gate(0, 1 << (kBoundFraction - 1)), 1 << (kSigmoidFraction - 2), 7);
  EXPECT_EQ(closed_gate(-32768, 1 << kBoundFraction), sigmoid(32767));
  EXPECT_EQ(closed_gate(5, 0), 0);
}

// h moves on even where the gate is nearly closed, as far as 2^-12 from where it goes.
TEST(Operations, TheStateFollowsItsTarget) {
  Saturation saturate;
  std::int32_t h = 0;
  const std::int32_t c = 3 << kSiluFraction, k = 26;  // k = 2e-4
  for (int t = 0; t < 100'000; ++t) h = scan(h, k, c, saturate);
  EXPECT_NEAR(std::ldexp(h, -kStateFraction), 3, 2.5e-4);
  // at once, but for what the difference is rounded to
  EXPECT_NEAR(scan(h, 1 << kSigmoidFraction, c, saturate), 3 << kStateFraction, 1 << 10);
  EXPECT_EQ(saturate.count(), 0);
}

TEST(Operations, AGateOutsideOfZeroToOneSaturates) {
  Saturation saturate;
  EXPECT_EQ(scan(5, -1, 1 << 13, saturate), 5);
  EXPECT_EQ(saturate.count(), 1);
  EXPECT_EQ(scan(5, (1 << 17) + 1, 0, saturate), scan(5, 1 << 17, 0, saturate));
  EXPECT_EQ(saturate.count(), 2);
}

TEST(Operations, ARowSaturatesToTwentySevenBits) {
  const std::vector<std::int16_t> w(3, 1 << 14);
  constexpr std::int32_t kMost = (1 << 26) - 1;
  const Vector wide = {INT32_MAX, 1 << 26, INT32_MIN}, near = {kMost, kMost, -kMost - 1};
  Saturation saturate, none;
  const Statistic largest = statistic(wide, w, saturate);
  EXPECT_EQ(saturate.count(), 3);
  EXPECT_EQ(largest, statistic(near, w, none));
  const QuantizedRow row = quantize(wide, w, w, largest, code_reciprocal(largest), saturate),
                     same = quantize(near, w, w, largest, code_reciprocal(largest), none);
  EXPECT_EQ(saturate.count(), 6);
  EXPECT_EQ(none.count(), 0);
  EXPECT_EQ(row.q, same.q);
  EXPECT_EQ(row.squares, same.squares);
  EXPECT_EQ(row.of_norm, same.of_norm);
}

// Whole numbers, and one that stands for all of them.
class Digest {
 public:
  void add(std::int64_t v) { values_.push_back(v); }
  std::uint64_t value() const {
    const auto bytes = std::as_bytes(std::span(values_));
    return stream_of({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }

 private:
  std::vector<std::int64_t> values_{};
};

// Every bit is part of the specification: what changes these numbers needs other hardware.
TEST(Operations, TheSpecificationIsWhatItWas) {
  Digest functions, rows, rest;
  for (std::int32_t x = -32768; x < 32768; ++x) functions.add(sigmoid(x)), functions.add(silu(x));
  EXPECT_EQ(functions.value(), 12840622626895199882u);
  const Rng rng(6);
  Saturation saturate;
  for (std::uint64_t row = 0; row < 500; ++row) {
    const Vector x = random_row(rng, row, 64, 2 + int(row % 26));
    std::vector<double> weights;
    for (std::size_t i = 0; i < x.size(); ++i) weights.push_back(rng.uniform(row * 1000 + i) - 0.3);
    const NormVector w = norm_vector(weights);
    const QuantizedRow q = quantize(x, w, saturate, &w);
    for (const std::int8_t code : q.q) rows.add(code);
    rows.add(std::int64_t(q.squares)), rows.add(std::int64_t(q.of_norm)), rows.add(q.shift);
    rows.add(std::int64_t(q.largest));
    const Factor g = factor_of(scalar_of(0.001 * (1 + rng.uniform(row))));
    std::int32_t h = x[0] >> 3;
    for (const std::int32_t sum : x) {
      const auto v = std::int32_t(round_shift(sum, sum_shift(6912)));
      rest.add(scale_sum(v, g, kGateFraction));
      const std::int32_t z = saturate(v, kGateBits);
      h = scan(h, closed_gate(z, v & 0xffff), silu(z), saturate);
      rest.add(h);
    }
  }
  EXPECT_EQ(rows.value(), 639282598916425376u);
  EXPECT_EQ(rest.value(), 6917435951138689005u);
}

}  // namespace
}  // namespace tern::rtl
