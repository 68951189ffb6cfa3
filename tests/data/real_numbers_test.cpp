// Real numbers of files: every f16 and bf16 against arithmetic, and rounding to bf16 by hand.
#include "data/io/real_numbers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

namespace tern {
namespace {

template <class Real>
Real read_one(StoredType type, std::uint64_t bits) {
  Real value = 0;
  read_reals(type, std::as_bytes(std::span(&bits, 1)).first(item_bytes(type)),
             std::span(&value, 1));
  return value;
}

TEST(RealNumbers, EveryHalfIsItsFormula) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const int exponent = int(bits >> 10 & 31), fraction = int(bits & 1023);
    const double sign = bits >> 15 ? -1 : 1;
    const float got = read_one<float>(StoredType::f16, bits);
    const double same = read_one<double>(StoredType::f16, bits);
    EXPECT_TRUE(same == double(got) || (std::isnan(same) && std::isnan(got))) << bits;
    if (exponent == 31) {
      EXPECT_TRUE(fraction ? std::isnan(got) : got == sign * INFINITY) << bits;
    } else {
      const double expected = sign * (exponent ? std::ldexp(1024 + fraction, exponent - 25)
                                               : std::ldexp(fraction, -24));
      EXPECT_EQ(double(got), expected) << bits;
      EXPECT_EQ(std::signbit(got), bits >> 15 == 1) << bits;
    }
  }
}

TEST(RealNumbers, ConversionsRoundHalvesToEven) {
  const std::vector<double> from = {1, -2.5, 1 + 0x1p-8, 1 + 3 * 0x1p-8, 1 + 0x1p-8 + 0x1p-20, 0};
  const std::vector<std::uint16_t> expected = {0x3f80, 0xc020, 0x3f80, 0x3f82, 0x3f81, 0};
  std::vector<std::uint16_t> got(from.size());
  convert_reals(StoredType::f64, std::as_bytes(std::span(from)), StoredType::bf16,
                std::as_writable_bytes(std::span(got)));
  EXPECT_EQ(got, expected);
  std::vector<float> back(got.size());
  convert_reals(StoredType::bf16, std::as_bytes(std::span(got)), StoredType::f32,
                std::as_writable_bytes(std::span(back)));
  EXPECT_EQ(back, (std::vector<float>{1, -2.5f, 1, 1 + 0x1p-6f, 1 + 0x1p-7f, 0}));
  std::vector<float> same(back.size());
  convert_reals(StoredType::f32, std::as_bytes(std::span(back)), StoredType::f32,
                std::as_writable_bytes(std::span(same)));
  EXPECT_EQ(same, back);
}

}  // namespace
}  // namespace tern
