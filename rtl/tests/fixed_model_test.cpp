// The accelerator's model against the same model in f64.
#include "rtl/model/fixed_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "rtl/tests/small_model.h"

namespace tern::rtl {
namespace {

std::vector<double> real_logits(const FixedModel& model, const Vector& sums) {
  std::vector<double> out;
  for (const std::int32_t s : sums) out.push_back(s * real_of(model.logit_scale()));
  return out;
}

double relative_distance(const std::vector<double>& a, const std::vector<double>& b) {
  double apart = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    apart += std::pow(a[i] - b[i], 2), size += std::pow(b[i], 2);
  return std::sqrt(apart / size);
}

class FixedModels : public testing::TestWithParam<ModelConfig> {};
INSTANTIATE_TEST_SUITE_P(Sizes, FixedModels,
                         testing::Values(small_config(64, 96, 2), small_config(48, 80, 3),
                                         small_config(256, 768, 2)),
                         [](const auto& c) { return "Width" + std::to_string(c.param.width); });

struct Distances {
  std::vector<double> sorted{};  // of each token's logits from those of f64, relative
  int same = 0;                  // likeliest tokens
  std::int64_t saturations = 0;
};

constexpr int kTokens = 64;

Distances distances_from_f64(const ModelConfig& config, int fraction) {
  SmallModel exact(config, DType::f64), single(config, DType::f32);
  FixedModel fixed(single.decode(), fraction);
  Distances out;
  for (int t = 0; t < kTokens; ++t) {
    const auto id = std::int32_t(t * t * 7 % 96);
    const std::vector<double> expected = exact.logits(id);
    const std::vector<double> got = real_logits(fixed, fixed.step(id));
    out.sorted.push_back(relative_distance(got, expected));
    out.same += std::ranges::max_element(got) - got.begin() ==
                std::ranges::max_element(expected) - expected.begin();
  }
  std::ranges::sort(out.sorted);
  out.saturations = fixed.saturations();
  return out;
}

// Random weights: a code that flips changes all that follows, and some flip in every row, so
// distances are not those of rounding. The median was 0.018 to 0.031 when this was written.
TEST_P(FixedModels, LogitsAreThoseOfF64) {
  const Distances d = distances_from_f64(GetParam(), 16);
  EXPECT_LT(d.sorted[kTokens / 2], 0.05);
  EXPECT_LT(d.sorted.back(), 0.15);
  EXPECT_GE(d.same, 58);
  EXPECT_EQ(d.saturations, 0);
}

// An epsilon that counts as much as the squares do.
TEST_P(FixedModels, EpsilonIsNotForgotten) {
  ModelConfig config = GetParam();
  config.rms_norm_eps = 0.3;
  const Distances d = distances_from_f64(config, 16);
  EXPECT_LT(d.sorted[kTokens / 2], 0.05);
  EXPECT_EQ(d.saturations, 0);
}

TEST_P(FixedModels, ATextBeginsAnewAfterClear) {
  SmallModel loaded(GetParam(), DType::f32);
  FixedModel fixed(loaded.decode());
  const Vector first = fixed.step(3);
  EXPECT_NE(fixed.step(3), first) << "the state is not used";
  fixed.clear();
  EXPECT_EQ(fixed.step(3), first);
}

// Every bit of a whole model: what changes this number needs other hardware.
TEST(FixedModel, TheSpecificationIsWhatItWas) {
  SmallModel loaded(small_config(40, 72, 3, 96, false), DType::f32);
  FixedModel fixed(loaded.decode());
  std::vector<std::int64_t> all;
  for (int t = 0; t < 32; ++t) {
    for (const std::int32_t s : fixed.step(t * t * 7 % 96)) all.push_back(s);
    all.push_back(fixed.logit_scale().mantissa), all.push_back(fixed.logit_scale().exponent);
  }
  for (const Vector& h : fixed.state()) all.insert(all.end(), h.begin(), h.end());
  const auto bytes = std::as_bytes(std::span(all));
  EXPECT_EQ(stream_of({reinterpret_cast<const char*>(bytes.data()), bytes.size()}),
            13173589744111254843u);
}

TEST(FixedModel, WhatDoesNotFitIsCounted) {
  SmallModel loaded(small_config(64, 96, 1), DType::f32);
  FixedModel fixed(loaded.decode(), 30);  // the residual stream overflows
  fixed.step(1);
  EXPECT_GT(fixed.saturations(), 0);
}

}  // namespace
}  // namespace tern::rtl
