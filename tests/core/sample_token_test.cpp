// The token drawn is that of a plain reference, which sorts; it comes as often as it is likely.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "core/cpu/cpu_backend.h"
#include "core/dry/dry_backend.h"
#include "core/rng.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Values = std::vector<double>;

constexpr double kInfinity = std::numeric_limits<double>::infinity(),
                 kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<std::int32_t> sampled(DType dtype, Index columns, const Values& logits,
                                  const Values& uniforms, const SampleToken& rule) {
  CpuBackend cpu(logits.size() * sizeof(double) + (1 << 20));
  const Index rows = Index(uniforms.size());
  const Tensor x(cpu, {rows, columns}, dtype), u(cpu, {rows}, DType::f64),
      ids(cpu, {rows}, DType::i32);
  upload_real(x, logits);
  upload_real(u, uniforms);
  SampleToken kernel = rule;
  kernel.ids = ids;
  kernel.logits = x;
  kernel.uniforms = u;
  cpu.run(kernel);
  return {ids.data<std::int32_t>(), ids.data<std::int32_t>() + rows};
}

// The definition word by word: sorts all tokens, cuts the list twice, walks by index.
int reference(const Values& logits, double uniform, const SampleToken& rule) {
  const int V = int(logits.size());
  for (int i = 0; i < V; ++i)
    if (!std::isfinite(logits[i])) return -1 - i;
  std::vector<int> ranking(logits.size());
  std::iota(ranking.begin(), ranking.end(), 0);
  std::stable_sort(ranking.begin(), ranking.end(),
                   [&](int a, int b) { return logits[a] > logits[b]; });
  if (rule.temperature == 0) return ranking[0];
  const auto weight = [&](int i) {
    const double e = std::exp((logits[i] - logits[ranking[0]]) / rule.temperature);
    return (unsigned long long)(std::llrint(e * 1099511627776.0));
  };
  if (rule.top_k > 0 && rule.top_k < V) ranking.resize(std::size_t(rule.top_k));
  unsigned long long all = 0, sum = 0, running = 0;
  for (const int i : ranking) all += weight(i);
  std::vector<char> kept(logits.size(), 0);
  for (const int i : ranking) {
    if (rule.top_p < 1 && sum > 0 && double(sum) >= rule.top_p * double(all)) break;
    sum += weight(i);
    kept[i] = 1;
  }
  const double at = std::min(std::floor(uniform * double(sum)), double(sum - 1));
  for (int i = 0; i < V; ++i) {
    if (kept[i]) running += weight(i);
    if (kept[i] && running > (unsigned long long)at) return i;
  }
  return V;
}

// logits of one kind in each row
Values rows_of_logits(Index rows, Index columns, std::uint64_t seed) {
  const Rng rng(seed, stream_of("logits"));
  Values out;
  for (Index row = 0; row < rows; ++row)
    for (Index i = 0; i < columns; ++i) {
      const std::uint64_t k = std::uint64_t(row * columns + i);
      switch (row % 5) {
        case 0:
          out.push_back(float(3 * rng.normal(k)));
          break;
        case 1:
          out.push_back(double(rng.bits(k) % 5) - 2);
          break;  // many ties
        case 2:
          out.push_back(rng.bits(k) % 2 ? 0.0 : -0.0);
          break;  // all are equal
        case 3:
          out.push_back(float(20 * rng.normal(k)) + 100);
          break;  // few weights above 0
        default:
          out.push_back(rng.bits(k) % 3 ? -1.5 : -0.0);
          break;
      }
    }
  return out;
}

Values some_uniforms(Index count, std::uint64_t seed) {
  Values out;
  for (Index i = 0; i < count; ++i) out.push_back(Rng(seed).uniform(std::uint64_t(i)));
  out.front() = 1e-17;
  out.back() = 1;
  return out;
}

void expect_reference(Index rows, Index columns, const SampleToken& rule) {
  const Values logits = rows_of_logits(rows, columns, std::uint64_t(columns)),
               uniforms = some_uniforms(rows, std::uint64_t(columns + 1));
  std::vector<std::int32_t> want;
  for (Index row = 0; row < rows; ++row)
    want.push_back(reference({logits.begin() + row * columns, logits.begin() + (row + 1) * columns},
                             uniforms[std::size_t(row)], rule));
  for (const DType dtype : {DType::f32, DType::f64})
    EXPECT_EQ(sampled(dtype, columns, logits, uniforms, rule), want)
        << dtype << ", V " << columns << ", temperature " << rule.temperature << ", top_k "
        << rule.top_k << ", top_p " << rule.top_p;
}

TEST(SampleToken, IsTheReferences) {
  for (const Index columns : {1, 2, 7, 64, 257})
    for (const double temperature : {0.0, 1e-300, 0.01, 0.8, 1.0, 30.0, 1e300})
      for (const std::int64_t k :
           {std::int64_t(0), std::int64_t(1), std::int64_t(2), std::int64_t(40), columns - 1,
            columns, columns + 1, std::numeric_limits<std::int64_t>::max()})
        for (const double p : {1e-300, 0.1, 0.5, 0.75, 0.9, 1 - 1e-16, 1.0})
          expect_reference(20, columns, {.temperature = temperature, .top_k = k, .top_p = p});
}

TEST(SampleToken, IsTheReferencesOfAVocabulary) {
  for (const std::int64_t k : {0, 1, 50, 32000})
    for (const double p : {1e-9, 0.3, 0.95, 1.0})
      expect_reference(15, 32000, {.temperature = 0.8, .top_k = k, .top_p = p});
  expect_reference(4, 50257, {.top_k = 20000, .top_p = 0.99});
}

// Equal logits: weights of 2^40 each, so every bound can be worked out.
TEST(SampleToken, OfEqualLogitsKeepsTheFirst) {
  const auto drawn = [](double uniform, const SampleToken& rule) {
    return sampled(DType::f32, 8, Values{0, -0.0, 0, 0, -0.0, 0, 0, 0}, {uniform}, rule).front();
  };
  EXPECT_EQ(drawn(1, {}), 7);
  EXPECT_EQ(drawn(0.125, {}), 1) << "the running sum must exceed 2^40";
  EXPECT_EQ(drawn(0.124999, {}), 0);
  EXPECT_EQ(drawn(1, {.top_k = 3}), 2);
  EXPECT_EQ(drawn(1, {.top_p = 0.5}), 3) << "reached exactly: no more";
  EXPECT_EQ(drawn(1, {.top_p = 0.5000001}), 4);
  EXPECT_EQ(drawn(1, {.top_k = 4, .top_p = 0.5}), 1) << "half of what top_k keeps";
  EXPECT_EQ(drawn(1, {.top_p = 0}), 0) << "at least one";
}

// exp(-28) 2^40 is 0.76 and exp(-28.5) 2^40 is 0.46: a weight of 1, and one of 0, never drawn.
TEST(SampleToken, WeightsAreIntegers) {
  const Values logits = {-28.5, 0, -28, -28.5};
  const auto drawn = [&](double uniform) {
    return sampled(DType::f64, 4, logits, {uniform}, {}).front();
  };
  EXPECT_EQ(drawn(1e-17), 1);
  EXPECT_EQ(drawn(1 - 0x1p-39), 1);
  EXPECT_EQ(drawn(1), 2) << "2^40 of 2^40 + 1";
}

TEST(SampleToken, TemperatureZeroTakesTheFirstOfTheLargest) {
  const Values logits = {1, 5, 2, 5, -3, -0.0, 0, -1};
  EXPECT_THAT(sampled(DType::f32, 4, logits, {0.9, 0.9}, {.temperature = 0}), ElementsAre(1, 1));
}

TEST(SampleToken, TheFirstLogitThatIsNotFiniteIsNamed) {
  const Values logits = {1, 2, kNaN,      kInfinity, 0, 0, 0, 0,         -kInfinity, 1,
                         1, 1, kInfinity, kNaN,      1, 2, 3, kInfinity, kInfinity,  kInfinity};
  for (const DType dtype : {DType::f32, DType::f64})
    for (const double temperature : {0.0, 1.0})
      EXPECT_THAT(sampled(dtype, 4, logits, Values(5, 0.3),
                          {.temperature = temperature, .top_k = 2, .top_p = 0.9}),
                  ElementsAre(-3, testing::AnyOf(0, 1), -1, -1, -2));
}

// sum over tokens of (seen - expected)^2 / expected is chi-square of V - 1 degrees, and beyond
// degrees + 2 sqrt(degrees x) + 2 x with a probability below exp(-x) (Laurent & Massart 2000).
TEST(SampleToken, EveryTokenComesAsOftenAsItIsLikely) {
  constexpr Index V = 30, kDraws = 20000;
  constexpr double temperature = 0.7, x = 20;
  Values logits, p;
  for (Index i = 0; i < V; ++i) logits.push_back(float(Rng(3).normal(std::uint64_t(i))));
  double sum = 0;
  for (const double l : logits) sum += p.emplace_back(std::exp(l / temperature));
  Values rows;
  for (Index n = 0; n < kDraws; ++n) rows.insert(rows.end(), logits.begin(), logits.end());
  Values seen(std::size_t(V), 0);
  for (const std::int32_t id :
       sampled(DType::f32, V, rows, some_uniforms(kDraws, 11), {.temperature = temperature}))
    ++seen[std::size_t(id)];
  double distance = 0;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const double expected = double(kDraws) * p[i] / sum;
    ASSERT_GT(expected, 5) << "too rare for the law";
    distance += (seen[i] - expected) * (seen[i] - expected) / expected;
  }
  const double degrees = double(V - 1);
  EXPECT_LT(distance, degrees + 2 * std::sqrt(degrees * x) + 2 * x);
}

TEST(SampleToken, NamesALimitOfTokens) {
  CpuBackend cpu(std::size_t(16) << 20);
  const SampleToken kernel{.ids = Tensor(cpu, {1}, DType::i32),
                           .logits = Tensor(cpu, {1, kMostSampled + 1}, DType::f32),
                           .uniforms = Tensor(cpu, {1}, DType::f64)};
  EXPECT_THAT(complaint([&] { cpu.run(kernel); }), HasSubstr("expected at most 1048576 tokens"));
}

TEST(SampleToken, ReadsLogitsAndUniformsAndWritesIds) {
  DryBackend dry;
  dry.run(SampleToken{.ids = Tensor(dry, {3}, DType::i32),
                      .logits = Tensor(dry, {3, 100}, DType::f32),
                      .uniforms = Tensor(dry, {3}, DType::f64)});
  EXPECT_EQ(dry.total().bytes, 3 * 4 + 3 * 100 * 4 + 3 * 8);
  EXPECT_EQ(dry.total().flops, 0);
  EXPECT_EQ(dry.launches(), 1);
}

}  // namespace
}  // namespace tern
