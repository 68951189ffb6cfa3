#include "core/rng.h"

#include <gtest/gtest.h>

namespace tern {
namespace {

// Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
TEST(Rng, PhiloxKnownAnswers) {
  using Block = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
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
