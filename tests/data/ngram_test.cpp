#include "data/corpus/ngram.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/data/prepare_fixture.h"

namespace tern {
namespace {

using Symbols = std::vector<std::int32_t>;

// Trained on a b a a b over {a, b, c}, by hand. Raw counts: a 3, b 2; ab 2, ba 1, aa 1. Distinct
// symbols before: a has 2 (b, a), b has 1 (a).
TEST(Ngram, AgreesWithHandComputation) {
  NgramModels models(3, 2);
  models.add(Symbols{0, 1});
  models.add(Symbols{0, 0, 1});
  const double D = 0.75;
  const double unigram_a = (3 - D + 2 * D / 3) / 5, unigram_b = (2 - D + 2 * D / 3) / 5;
  const double unigram_c = (2 * D / 3) / 5;
  const double lower_a = (2 - D + 2 * D / 3) / 3, lower_b = (1 - D + 2 * D / 3) / 3;
  const double lower_c = (2 * D / 3) / 3;
  std::vector<double> bits;
  models.score(Symbols{0, 1, 2, 0}, bits);
  EXPECT_NEAR(bits[0], -std::log2(unigram_a * unigram_b * unigram_c * unigram_a), 1e-12);
  // a: the first, without context; b after a: seen 2 of 3, 2 kinds follow; c after b: only a
  // follows; a after c: never seen
  const double b_after_a = (2 - D + 2 * D * lower_b) / 3;
  const double c_after_b = (D * lower_c) / 1;
  EXPECT_NEAR(bits[1], -std::log2(lower_a * b_after_a * c_after_b * lower_a), 1e-12);
}

TEST(Ngram, ProbabilitiesSumToOne) {
  std::mt19937_64 random(3);
  Symbols text;
  for (int i = 0; i < 2000; ++i) text.push_back(std::int32_t(random() % 3 * (random() % 3)));
  NgramModels models(7, 4);
  models.add(text);
  for (int i = 0; i < 20; ++i) {
    Symbols context(text.begin() + 10 * i, text.begin() + 10 * i + 4);
    if (i % 3 == 0) context[2] = 6;
    std::vector<double> sums(4);
    for (std::int32_t symbol = 0; symbol < 7; ++symbol) {
      NgramModels copy = models;
      std::vector<double> ignored, bits;
      copy.score(context, ignored);
      copy.score(Symbols{symbol}, bits);
      for (std::size_t n = 0; n < 4; ++n) sums[n] += std::exp2(-bits[n]);
    }
    for (const double sum : sums) EXPECT_NEAR(sum, 1, 1e-12);
  }
}

TEST(Ngram, BaselinesOfACorpus) {
  const PrepareFixture f;
  write_text(f / "a.txt", english() + english());
  PrepareOptions options = f.options("out", {f / "a.txt"});
  options.validation = 0.25;
  prepare_corpus(options, no_report);
  const Corpus train = Corpus::open(f / "out", Split::train);
  const Corpus validation = Corpus::open(f / "out", Split::validation);
  const NgramBaselines b = ngram_baselines(train, validation, 3, 1 << 20);
  EXPECT_EQ(b.training_bytes, train.text_bytes());
  EXPECT_EQ(b.scored_bytes, validation.text_bytes());
  ASSERT_EQ(b.byte_models.size(), 3u);
  EXPECT_GT(b.byte_models[0], 4);
  EXPECT_LT(b.byte_models[0], 5.5) << "about the entropy of English letters";
  EXPECT_LT(b.byte_models[2], 2) << "the page repeats";
  EXPECT_LT(b.token_models[1], b.token_models[0]);
  const NgramBaselines part = ngram_baselines(train, validation, 1, 100);
  EXPECT_EQ(part.training_tokens, 100u);
}

}  // namespace
}  // namespace tern
