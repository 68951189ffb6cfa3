// Sampling by hand: temperature, top_k, top_p, ties, numbers that are none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "apps/bench/decode.h"
#include "core/sample_row.h"
#include "runtime/generator.h"
#include "tests/support/complaint.h"

namespace tern::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<double> logits_of(std::initializer_list<double> probabilities) {
  std::vector<double> out;
  for (const double p : probabilities) out.push_back(std::log(p) + 3);  // a shift changes nothing
  return out;
}

std::int32_t sample(const std::vector<double>& logits, const Sampling& sampling, double uniform) {
  return sample_row<double>(
      logits, uniform,
      {.temperature = sampling.temperature, .top_k = sampling.top_k, .top_p = sampling.top_p});
}

// how often each index comes, of 1000 random numbers spread evenly over (0, 1)
std::vector<int> counts(const std::vector<double>& logits, const Sampling& sampling) {
  std::vector<int> out(logits.size());
  for (int i = 0; i < 1000; ++i) ++out[std::size_t(sample(logits, sampling, (i + 0.5) / 1000))];
  return out;
}

const std::vector<double> kFour = logits_of({0.1, 0.4, 0.2, 0.3});

TEST(Fault219, EveryTokenComesAsOftenAsItIsLikely) {
  EXPECT_THAT(counts(kFour, {}), ElementsAre(100, 400, 200, 300));
}

TEST(Fault219, TemperatureIsAPowerOfTheProbabilities) {
  EXPECT_THAT(counts(logits_of({0.2, 0.8}), {.temperature = 0.5}), ElementsAre(59, 941))
      << "0.04 : 0.64";
  EXPECT_THAT(counts(logits_of({0.2, 0.8}), {.temperature = 2}), ElementsAre(333, 667)) << "1 : 2";
  EXPECT_THAT(counts(kFour, {.temperature = 1e-300}), ElementsAre(0, 1000, 0, 0));
  EXPECT_THAT(counts(kFour, {.temperature = 1e300}), ElementsAre(250, 250, 250, 250));
}

TEST(Fault219, TemperatureZeroTakesTheLikeliest) {
  EXPECT_THAT(counts(kFour, {.temperature = 0}), ElementsAre(0, 1000, 0, 0));
  EXPECT_THAT(counts(kFour, {.temperature = 0, .top_k = 2, .top_p = 0.1}),
              ElementsAre(0, 1000, 0, 0));
  EXPECT_EQ(sample(std::vector<double>{1, 5, 2, 5, 5}, {.temperature = 0}, 0.9), 1)
      << "the first of equals";
}

TEST(Fault219, TopKKeepsTheKLikeliest) {
  EXPECT_THAT(counts(kFour, {.top_k = 1}), ElementsAre(0, 1000, 0, 0));
  EXPECT_THAT(counts(kFour, {.top_k = 2}), ElementsAre(0, 571, 0, 429)) << "4 : 3";
  EXPECT_THAT(counts(kFour, {.top_k = 4}), ElementsAre(100, 400, 200, 300));
  EXPECT_THAT(counts(kFour, {.top_k = 5}), ElementsAre(100, 400, 200, 300));
  EXPECT_THAT(counts(kFour, {.top_k = std::numeric_limits<std::int64_t>::max()}),
              ElementsAre(100, 400, 200, 300));
}

TEST(Fault219, TopPKeepsTheTokenThatCrossesTheThreshold) {
  EXPECT_THAT(counts(kFour, {.top_p = 0.39}), ElementsAre(0, 1000, 0, 0));
  EXPECT_THAT(counts(kFour, {.top_p = 0.41}), ElementsAre(0, 571, 0, 429));
  EXPECT_THAT(counts(kFour, {.top_p = 0.69}), ElementsAre(0, 571, 0, 429));
  EXPECT_THAT(counts(kFour, {.top_p = 0.71}), ElementsAre(0, 444, 223, 333)) << "4 : 2 : 3";
  EXPECT_THAT(counts(kFour, {.top_p = 0.95}), ElementsAre(100, 400, 200, 300));
  EXPECT_THAT(counts(kFour, {.top_p = 1}), ElementsAre(100, 400, 200, 300));
  EXPECT_THAT(counts(kFour, {.top_p = 1e-300}), ElementsAre(0, 1000, 0, 0)) << "at least one";
  EXPECT_THAT(counts(kFour, {.top_p = 0}), ElementsAre(0, 1000, 0, 0)) << "at least one";
  EXPECT_THAT(counts(std::vector<double>{0, 0, 0, 0}, {.top_p = 0.5}), ElementsAre(500, 500, 0, 0))
      << "reached exactly: no more";
}

TEST(Fault219, TopPCountsWhatTopKAndTemperatureLeave) {
  EXPECT_THAT(counts(kFour, {.top_k = 2, .top_p = 0.5}), ElementsAre(0, 1000, 0, 0)) << "4/7";
  EXPECT_THAT(counts(kFour, {.top_k = 2, .top_p = 0.6}), ElementsAre(0, 571, 0, 429));
  EXPECT_THAT(counts(logits_of({0.2, 0.8}), {.temperature = 0.5, .top_p = 0.9}),
              ElementsAre(0, 1000))
      << "16/17";
}

TEST(Fault219, EqualLogitsAreOrderedByIndex) {
  EXPECT_THAT(counts(std::vector<double>(6, 2.5), {.top_k = 3}),
              ElementsAre(333, 334, 333, 0, 0, 0));
  const std::vector<double> many(1000, -1);
  std::set<std::int32_t> seen;
  for (int i = 0; i < 100; ++i)
    seen.insert(sample(many, {.top_k = 10, .top_p = 0.5}, (i + 0.5) / 100));
  EXPECT_EQ(seen, (std::set<std::int32_t>{0, 1, 2, 3, 4}));
}

TEST(Fault219, ExtremesOfTheRandomNumber) {
  EXPECT_EQ(sample(kFour, {}, 1e-17), 0) << "tokens come in the order of their index";
  EXPECT_EQ(sample(kFour, {}, 1 - 1e-16), 3);
  EXPECT_EQ(sample(kFour, {}, 1), 3);
  EXPECT_EQ(sample(std::vector<double>{-1e300, 1e300}, {}, 1 - 1e-16), 1);
  EXPECT_EQ(sample(std::vector<double>{7}, {.top_k = 3}, 0.5), 0) << "a vocabulary of one";
}

TEST(Fault219, LogitsThatAreNotFiniteAreNamed) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double odd : {nan, kInfinity, -kInfinity})
    for (const double temperature : {0.0, 1.0})
      for (const std::int64_t k : {0, 2}) {
        const std::vector<double> logits = {1, 2, odd, 3};
        EXPECT_EQ(sample(logits, {.temperature = temperature, .top_k = k}, 0.5), -1 - 2) << odd;
      }
}

TEST(Fault219, AModelWhoseLogitsAreNotFiniteIsNamed) {
  const SavedModel saved =
      random_model({.vocab_size = 64, .width = 32, .layers = 1, .explicit_glu_width = 48});
  const LoadedModel loaded =
      load_model(saved, Device("cpu"), [&](Model& model) { Generator(model, {}).rehearse(); });
  for (Parameter* p : loaded.model->parameters())
    if (p->name == "lm_head.norm.weight") loaded.backend->fill(p->value, kInfinity);
  Generator generator(*loaded.model, {});
  generator.read(std::vector<std::int32_t>{1, 2});
  try {
    generator.next();
    ADD_FAILURE() << "not refused";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::diverged);
    EXPECT_THAT(e.what(), HasSubstr("logit of token 0 is not finite"));
  }
}

// A prompt of several chunks, the last one of any length, continues as one that is read at once.
TEST(Generator, APromptInChunksContinuesAsOneAtOnce) {
  const SavedModel saved =
      random_model({.vocab_size = 64, .width = 32, .layers = 2, .explicit_glu_width = 48});
  for (const Index n : {kPromptChunk - 1, kPromptChunk, kPromptChunk + 1, 2 * kPromptChunk + 9}) {
    const LoadedModel loaded =
        load_model(saved, Device("cpu"), [&](Model& model) { Generator(model, {}).rehearse(); });
    std::vector<std::int32_t> ids;
    for (Index i = 0; i < n; ++i) ids.push_back(std::int32_t(Rng(3).bits(std::uint64_t(i)) % 64));
    Generator generator(*loaded.model, {.temperature = 0}, n + 4);
    generator.read(ids);
    for (int i = 0; i < 4; ++i) {
      const Tensor whole =
          loaded.model->logits({}, upload_ids(*loaded.backend, {1, Index(ids.size())}, ids));
      const auto last = download_real(whole.slice(Index(ids.size()) - 1, 1));
      const auto likeliest = std::max_element(last.begin(), last.end()) - last.begin();
      ids.push_back(generator.next());
      ASSERT_EQ(ids.back(), likeliest) << n << ' ' << i;
    }
  }
}

}  // namespace
}  // namespace tern::test
