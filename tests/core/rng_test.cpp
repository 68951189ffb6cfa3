#include "core/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

namespace tern {
namespace {

// Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
TEST(Rng, PhiloxKnownAnswers) {
  using Block = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

// Box and Muller's formula with the library's functions, whose last bits may be others.
TEST(Rng, NormalsAreBoxAndMullers) {
  const Rng rng(3, stream_of("weight"));
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const auto b = rng.block(i);
    const auto unit = [](std::uint32_t high, std::uint32_t low) {
      return (double((std::uint64_t(high) << 32 | low) >> 11) + 0.5) * 0x1p-53;
    };
    ASSERT_EQ(rng.uniform(i), unit(b[1], b[0]));
    const double radius = std::sqrt(-2 * std::log(unit(b[1], b[0])));
    ASSERT_NEAR(rng.normal(i), radius * std::cos(2 * std::numbers::pi * unit(b[3], b[2])), 1e-14);
  }
}

TEST(Rng, ManyAreThoseOfOneByOne) {
  const Rng rng(5, stream_of("weight"));
  const std::uint64_t first = (std::uint64_t(1) << 32) - 20;  // into the counter's second word
  for (const std::size_t n : {0, 1, 15, 16, 17, 50}) {
    std::vector<double> uniforms(n + 1, 7), normals(n + 1, 7);
    rng.uniforms(first, std::span(uniforms).first(n));
    rng.normals(first, std::span(normals).first(n));
    for (std::size_t i = 0; i < n; ++i) {
      EXPECT_EQ(uniforms[i], rng.uniform(first + i)) << i << " of " << n;
      EXPECT_EQ(normals[i], rng.normal(first + i)) << i << " of " << n;
    }
    EXPECT_EQ(uniforms[n], 7);
    EXPECT_EQ(normals[n], 7);
  }
}

TEST(Rng, MomentsOfUniformAndNormal) {
  const Rng rng(1, stream_of("weight"));
  double mean = 0, square = 0, uniform = 0;
  const int n = 100000;
  for (int i = 0; i < n; ++i) {
    mean += rng.normal(i) / n;
    square += rng.normal(i) * rng.normal(i) / n;
    uniform += rng.uniform(i) / n;
  }
  EXPECT_NEAR(mean, 0, 0.02);
  EXPECT_NEAR(square, 1, 0.03);
  EXPECT_NEAR(uniform, 0.5, 0.005);
}

}  // namespace
}  // namespace tern
