// Rounding at random: what never changes, and that the mean of what does is the number.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "core/bfloat16.h"

namespace tern {
namespace {

float rounded(float x, std::uint32_t r) {
  const std::uint16_t half = round_stochastically(std::bit_cast<std::uint32_t>(x), r);
  return std::bit_cast<float>(std::uint32_t(half) << 16);
}

// Between 1 and 1 + 1/128 lie 65536 steps of f32: 1 + 3/512 is 3/4 of the way.
TEST(StochasticRounding, ByHand) {
  const float x = 1 + 3.0f / 512;
  EXPECT_EQ(rounded(x, 0), 1);
  EXPECT_EQ(rounded(x, 0x3fff), 1);               // a quarter of all r: down
  EXPECT_EQ(rounded(x, 0x4000), 1 + 1.0f / 128);  // the rest: up
  EXPECT_EQ(rounded(x, 0xffff), 1 + 1.0f / 128);
  EXPECT_EQ(rounded(-x, 0x3fff), -1);
  EXPECT_EQ(rounded(-x, 0x4000), -1 - 1.0f / 128);  // away from zero
  EXPECT_EQ(rounded(2 - 0x1p-23f, 1), 2);           // into the next binade
}

TEST(StochasticRounding, WhatBf16HoldsStaysAndSoDoesWhatIsNotFinite) {
  for (const std::uint32_t r : {0u, 1u, 0x8000u, 0xffffu}) {
    for (const float x : {0.0f, -0.0f, 1.0f, -1.5f, 3.0e38f * 0, 0x1p-126f, 0x1p-133f, 0x1.fep127f})
      EXPECT_EQ(std::bit_cast<std::uint32_t>(rounded(x, r)), std::bit_cast<std::uint32_t>(x));
    EXPECT_EQ(rounded(INFINITY, r), INFINITY);
    EXPECT_EQ(rounded(-INFINITY, r), -INFINITY);
    for (const std::uint32_t nan : {0x7fc00000u, 0xffc00000u, 0x7fffffffu})  // the last: a GPU's
      EXPECT_TRUE(std::isnan(rounded(std::bit_cast<float>(nan), r)));
  }
}

// Over all r the mean is exact: the halves that are cut off are counted out.
TEST(StochasticRounding, TheMeanOverAllWordsIsTheNumber) {
  for (const float x : {1.2345678f, -0.001f, 3.3e-20f, 0x1.234p-130f, 2 - 0x1p-23f}) {
    double sum = 0;
    for (std::uint32_t r = 0; r < 65536; ++r) sum += double(rounded(x, r));
    EXPECT_EQ(sum / 65536, double(x));
  }
}

// Both halves of the words are uniform, over places and over steps, and not the same.
TEST(StochasticRounding, WordsOfPlacesAndStepsAreUniform) {
  double low = 0, high = 0, product = 0;
  const int n = 100'000;
  for (int i = 0; i < n; ++i) {
    const std::uint32_t word =
        moment_words(5, std::uint64_t(1 + i % 100), std::uint64_t(i / 100))[std::size_t(i % 4)];
    const double a = double(word & 0xffff) / 65536 - 0.5, b = double(word >> 16) / 65536 - 0.5;
    low += a / n, high += b / n, product += a * b / n;
  }
  EXPECT_NEAR(low, 0, 0.004);
  EXPECT_NEAR(high, 0, 0.004);
  EXPECT_NEAR(product, 0, 0.002);
  EXPECT_NE(moment_words(5, 1, 0), moment_words(5, 2, 0));
  EXPECT_NE(moment_words(5, 1, 0), moment_words(5, 1, 1));
  EXPECT_NE(moment_words(5, 1, 0), moment_words(6, 1, 0));
  EXPECT_EQ(moment_words(5, 3, 7), Rng(5, stream_of("moments") + 3).block(7));
}

}  // namespace
}  // namespace tern
