// The accelerator's numbers against exact integers and f64.
#include "rtl/model/fixed_point.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/rng.h"

namespace tern::rtl {
namespace {

constexpr int kCases = 100'000;

TEST(FixedPoint, HalvesAreRoundedToEven) {
  EXPECT_EQ(round_shift(5, 0), 5);
  for (const auto& [v, rounded] : {std::pair(-7, -2),
                                   {-6, -2},
                                   {-5, -1},
                                   {-3, -1},
                                   {-2, 0},
                                   {-1, 0},
                                   {0, 0},
                                   {1, 0},
                                   {2, 0},
                                   {3, 1},
                                   {5, 1},
                                   {6, 2},
                                   {7, 2}})
    EXPECT_EQ(round_shift(v, 2), rounded) << v;
  const Rng rng(1);
  for (std::uint64_t i = 0; i < kCases; ++i) {
    const auto v = std::int64_t(rng.bits(2 * i)) >> 24;
    const int s = int(rng.bits(2 * i + 1) % 40);
    EXPECT_EQ(round_shift(v, s), std::llrint(std::ldexp(double(v), -s))) << v << ' ' << s;
  }
}

TEST(FixedPoint, SaturationIsCounted) {
  Saturation saturate;
  EXPECT_EQ(saturate(32767, 16), 32767);
  EXPECT_EQ(saturate(-32768, 16), -32768);
  EXPECT_EQ(saturate.count(), 0);
  EXPECT_EQ(saturate(32768, 16), 32767);
  EXPECT_EQ(saturate(std::numeric_limits<std::int64_t>::min(), 16), -32768);
  EXPECT_EQ(saturate.count(), 2);
}

Scalar random_scalar(const Rng& rng, std::uint64_t i) {
  const std::uint64_t bits = rng.bits(i);
  return {.mantissa = std::uint32_t(bits % (1 << 23)) + (1 << 23),
          .exponent = int(bits >> 32) % 61 - 30};
}

// The largest scalar that is not above `exact`, which long double holds: 64 bits of mantissa.
void expect_floor(const Scalar& got, long double exact) {
  ASSERT_GE(got.mantissa, 1u << 23);
  ASSERT_LT(got.mantissa, 1u << 24);
  EXPECT_LE(std::ldexp((long double)got.mantissa, got.exponent), exact);
  EXPECT_GT(std::ldexp((long double)got.mantissa + 1, got.exponent), exact);
}

TEST(Scalars, OperationsGiveTheScalarBelowTheExactResult) {
  const Rng rng(2);
  for (std::uint64_t i = 0; i < kCases; ++i) {
    const Scalar a = random_scalar(rng, 2 * i), b = random_scalar(rng, 2 * i + 1);
    const long double x = real_of(a), y = real_of(b);
    expect_floor(multiply(a, b), x * y);
    // a sum may need more bits than long double has; then the smaller one is below the last place
    if (std::abs(a.exponent - b.exponent) < 40) expect_floor(add(a, b), x + y);
    EXPECT_EQ(add(a, b), add(b, a));
    // a quotient and a root are compared through products, which are exact here
    const Scalar quotient = divide(a, b), root = square_root(a);
    const long double q = real_of(quotient), r = real_of(root);
    const long double q_up = std::ldexp((long double)quotient.mantissa + 1, quotient.exponent);
    const long double r_up = std::ldexp((long double)root.mantissa + 1, root.exponent);
    EXPECT_TRUE(q * y <= x && q_up * y > x);
    EXPECT_TRUE(r * r <= x && r_up * r_up > x);
    EXPECT_GE(quotient.mantissa, 1u << 23);
    EXPECT_GE(root.mantissa, 1u << 23);
    EXPECT_LT(root.mantissa, 1u << 24);
  }
}

TEST(Scalars, OfIntegersAndReals) {
  EXPECT_EQ(scalar_of(std::uint64_t(0)), Scalar{});
  EXPECT_EQ(scalar_of(0.0), Scalar{});
  EXPECT_EQ(real_of(scalar_of(std::uint64_t(1))), 1);
  EXPECT_EQ(real_of(scalar_of(1.5)), 1.5);
  EXPECT_EQ(real_of(scalar_of(std::uint64_t(12345), -3)), 12345 / 8.0);
  EXPECT_EQ(scalar_of((std::uint64_t(1) << 52) - 1).mantissa, (1u << 24) - 1) << "truncated";
  EXPECT_EQ(scalar_of(1e-6).mantissa, std::uint32_t(std::ldexp(1e-6, 43)));
  const Scalar one = scalar_of(1.0);
  EXPECT_EQ(add(one, Scalar{}), one);
  EXPECT_EQ(add(Scalar{}, one), one);
  EXPECT_EQ(multiply(one, Scalar{}), Scalar{});
  EXPECT_EQ(divide(Scalar{}, one), Scalar{});
  EXPECT_EQ(square_root(Scalar{}), Scalar{});
  const Factor f = factor_of(scalar_of(0.75));
  EXPECT_EQ(std::ldexp(double(f.mantissa), f.exponent), 0.75);
  EXPECT_EQ(bit_length(std::uint64_t(f.mantissa)), 17);
}

}  // namespace
}  // namespace tern::rtl
