#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "core/check.h"
#include "core/kernels/primitives.h"
#include "data/corpus/batches.h"
#include "data/corpus/sample_order.h"

namespace tern {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

// token i of the source is i + base
TokenSource counting(const std::string& name, std::uint64_t tokens, std::int32_t base = 0,
                     double weight = 1) {
  return {name, weight, tokens, [=](std::uint64_t first, std::span<std::int32_t> ids) {
            ASSERT_LE(first + ids.size(), tokens);
            std::iota(ids.begin(), ids.end(), std::int32_t(first) + base);
          }};
}

BatchOptions options(std::uint64_t T, bool shuffled = true, std::uint64_t seed = 1) {
  return {.context = T, .seed = seed, .shuffled = shuffled};
}

std::vector<TokenSource> three_sources() {
  return {counting("a", 1000, 0, 0.5), counting("b", 333, 10'000, 0.3),
          counting("c", 100, 20'000, 0.2)};
}

std::string complaint(Fault fault, const std::function<void()>& f) {
  try {
    f();
    return "";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, fault) << e.what();
    return e.what();
  }
}

TEST(Permutation, IsABijection) {
  for (const std::uint64_t n : {1, 2, 3, 4, 5, 16, 17, 1000, 4096, 65537}) {
    std::vector<bool> hit(n);
    const Permutation p(n, 42 + n);
    for (std::uint64_t i = 0; i < n; ++i) {
      ASSERT_LT(p(i), n);
      ASSERT_FALSE(hit[p(i)]);
      hit[p(i)] = true;
    }
  }
  EXPECT_LT(Permutation(1ull << 61, 7)((1ull << 61) - 1), 1ull << 61);
}

TEST(Permutation, KeysDifferAndOrderIsLost) {
  const std::uint64_t n = 10'000;
  const Permutation p(n, 1), q(n, 2);
  double correlation = 0;
  int same = 0, neighbours = 0;
  for (std::uint64_t i = 0; i + 1 < n; ++i) {
    correlation += (double(i) / n - 0.5) * (double(p(i)) / n - 0.5) * 12 / n;
    same += p(i) == q(i);
    neighbours += p(i + 1) == p(i) + 1;
  }
  EXPECT_LT(std::abs(correlation), 0.04);
  EXPECT_LT(same, 8);
  EXPECT_LT(neighbours, 8);
}

TEST(SampleOrder, SharesAreExactInEveryBlock) {
  const SampleOrder order({{"a", 0.5, 999}, {"b", 0.3, 77}, {"c", 0.2, 5}}, 1, true);
  EXPECT_EQ(order.per_block(0), 2048u);
  EXPECT_EQ(order.per_block(1), 1229u);
  EXPECT_EQ(order.per_block(2), 819u);
  for (const std::uint64_t block : {0, 1, 1000}) {
    std::vector<std::uint64_t> counts(3);
    for (std::uint64_t i = 0; i < SampleOrder::kBlock; ++i)
      ++counts[order.at(block * SampleOrder::kBlock + i).source];
    EXPECT_THAT(counts, ElementsAre(2048, 1229, 819));
  }
}

TEST(SampleOrder, SourcesAreSpreadEvenly) {
  const SampleOrder order({{"a", 0.5, 999}, {"b", 0.3, 77}, {"c", 0.2, 5}}, 1, true);
  std::vector<double> counts(3);
  for (std::uint64_t i = 0; i < SampleOrder::kBlock; ++i) {
    ++counts[order.at(i).source];
    for (int s = 0; s < 3; ++s)
      ASSERT_LT(std::abs(counts[s] - double(order.per_block(s)) * (i + 1) / SampleOrder::kBlock),
                1.01);
  }
}

TEST(SampleOrder, EveryEpochHoldsEverySampleOnceInItsOwnOrder) {
  const std::uint64_t n = 300;
  for (const bool shuffled : {true, false}) {
    const SampleOrder order({{"a", 2, n}, {"b", 1, 7}}, 1, shuffled);
    std::vector<std::vector<std::uint64_t>> epochs(1);
    for (std::uint64_t i = 0; epochs.size() <= 20; ++i) {
      const Sample s = order.at(i);
      if (s.source != 0) continue;
      epochs.back().push_back(s.index);
      if (epochs.back().size() == n) epochs.emplace_back();
    }
    epochs.pop_back();
    std::vector<std::uint64_t> all(n);
    std::iota(all.begin(), all.end(), 0);
    for (const auto& epoch : epochs) {
      EXPECT_EQ(std::set(epoch.begin(), epoch.end()).size(), n);
      EXPECT_EQ(epoch == all, !shuffled);
    }
    EXPECT_EQ(epochs[0] != epochs[1], shuffled);
  }
}

TEST(Fault101, ContentDecidesTheOrderAndNamesDoNot) {
  const auto samples = [](std::vector<SampleOrder::Source> sources) {
    const SampleOrder order(std::move(sources), 1, true);
    std::vector<std::vector<std::uint64_t>> of(2);
    for (std::uint64_t i = 0; i < 200; ++i) of[order.at(i).source].push_back(order.at(i).index);
    return of;
  };
  const auto here = samples({{"data/a", 1, 300, "x"}, {"data/b", 1, 300, "y"}});
  EXPECT_EQ(here, samples({{"/mnt/a/", 1, 300, "x"}, {"b", 1, 300, "y"}}));
  EXPECT_NE(here[0], here[1]);
  const auto twice = samples({{"data/a", 1, 300, "x"}, {"data/a", 1, 300, "x"}});
  EXPECT_EQ(twice[0], here[0]);
  EXPECT_NE(twice[1], twice[0]) << "the same order twice";
}

TEST(SampleOrder, BadSourcesAreUsageErrors) {
  const auto with = [](std::vector<SampleOrder::Source> sources) {
    return complaint(Fault::usage, [&] { SampleOrder(sources, 1, true); });
  };
  EXPECT_THAT(with({}), HasSubstr("at least one source"));
  EXPECT_THAT(with({{"a", 0, 1}}), HasSubstr("source a: expected a positive weight, got 0"));
  EXPECT_THAT(with({{"a", NAN, 1}}), HasSubstr("positive weight"));
  EXPECT_THAT(with({{"a", 1, 1}, {"b", 1e-5, 1}}), HasSubstr("source b: its weight"));
}

TEST(BatchReader, SamplesAreTheTokensOfTheSourceShiftedByOne) {
  const BatchReader reader(three_sources(), options(10));
  const Batch batch = reader.read(12345, 50);
  ASSERT_EQ(batch.inputs.size(), 500u);
  ASSERT_EQ(batch.targets.size(), 500u);
  const std::int32_t base[] = {0, 10'000, 20'000};
  for (std::size_t row = 0; row < 50; ++row)
    for (std::size_t t = 0; t < 10; ++t) {
      const Sample s = batch.samples[row];
      EXPECT_EQ(batch.inputs[row * 10 + t], base[s.source] + std::int32_t(s.index * 10 + t));
      EXPECT_EQ(batch.targets[row * 10 + t], batch.inputs[row * 10 + t] + 1);
    }
}

TEST(BatchReader, HowBatchesAreCutDoesNotMatter) {
  const BatchReader reader(three_sources(), options(16));
  const Batch whole = reader.read(4000, 240);
  std::vector<std::int32_t> inputs;
  for (std::uint64_t first = 4000; first < 4240; first += 24) {
    const Batch part = reader.read(first, 24);
    inputs.insert(inputs.end(), part.inputs.begin(), part.inputs.end());
  }
  EXPECT_EQ(whole.inputs, inputs);
}

TEST(BatchReader, TheSeedDecides) {
  const Batch a = BatchReader(three_sources(), options(10)).read(0, 100);
  EXPECT_EQ(a.inputs, BatchReader(three_sources(), options(10)).read(0, 100).inputs);
  EXPECT_NE(a.inputs, BatchReader(three_sources(), options(10, true, 2)).read(0, 100).inputs);
}

TEST(Loader, SeekGivesWhatRunningGives) {
  for (const std::size_t prefetch : {1, 2, 7}) {
    Loader running(BatchReader(three_sources(), options(10)), 8, prefetch);
    Loader seeking(BatchReader(three_sources(), options(10)), 8);
    for (int step = 0; step < 40; ++step) {
      EXPECT_EQ(running.position(), 8u * step);
      const Batch expected = running.next();
      EXPECT_EQ(expected.first_sample, 8u * step);
      if (step % 7 != 3) continue;
      seeking.seek(8 * step);
      const Batch got = seeking.next();
      EXPECT_EQ(got.inputs, expected.inputs);
      EXPECT_EQ(got.targets, expected.targets);
      EXPECT_EQ(got.samples, expected.samples);
      EXPECT_EQ(seeking.position(), 8u * (step + 1));
    }
  }
}

TEST(Loader, SequentialFollowsTheFileEpochAfterEpoch) {
  Loader loader(BatchReader({counting("a", 31)}, options(10, false)), 2);
  EXPECT_EQ(loader.next().samples, (std::vector<Sample>{{0, 0}, {0, 1}}));
  EXPECT_EQ(loader.next().samples, (std::vector<Sample>{{0, 2}, {0, 0}}));
}

TEST(Loader, ErrorsOfTheThreadSurfaceInNextAndSeekRecovers) {
  TokenSource source = counting("a", 1001);
  source.read = [read = source.read](std::uint64_t first, std::span<std::int32_t> ids) {
    require(first != 50, Fault::disk, "broken");
    read(first, ids);
  };
  Loader loader(BatchReader({source}, options(10, false)), 2);
  loader.next();
  loader.next();
  for (int again = 0; again < 2; ++again)
    EXPECT_EQ(complaint(Fault::disk, [&] { loader.next(); }), "broken");
  EXPECT_EQ(loader.position(), 4u);
  loader.seek(6);
  EXPECT_EQ(loader.next().inputs[0], 60);
}

TEST(Loader, DestructionWithAFullQueue) {
  for (int i = 0; i < 20; ++i) Loader(BatchReader(three_sources(), options(10)), 4, 1);
}

TEST(Fault41, SourceShorterThanASample) {
  EXPECT_THAT(complaint(Fault::input, [] { BatchReader({counting("wiki", 10)}, options(10)); }),
              HasSubstr("source wiki: it has 10 tokens, a sample of context 10 needs 11"));
  EXPECT_EQ(BatchReader({counting("wiki", 11)}, options(10)).read(5, 1).inputs[9], 9);
  EXPECT_THAT(complaint(Fault::input, [] { SequentialPass(counting("wiki", 1), 4, 2); }),
              HasSubstr("source wiki: it has 1 tokens"));
}

TEST(SequentialPass, EveryTargetOnce) {
  for (const std::uint64_t tokens : {2, 9, 10, 11, 12, 101, 115}) {
    SequentialPass pass(counting("a", tokens), 10, 3);
    std::vector<std::int32_t> targets;
    std::uint64_t samples = 0;
    while (const auto batch = pass.next()) {
      EXPECT_EQ(batch->inputs.size(), batch->targets.size());
      EXPECT_LE(batch->samples.size(), 3u);
      samples += batch->samples.size();
      for (std::size_t i = 0; i < batch->targets.size(); ++i) {
        if (batch->targets[i] == kIgnoreIndex) continue;
        EXPECT_EQ(batch->targets[i], batch->inputs[i] + 1);
        targets.push_back(batch->targets[i]);
      }
    }
    EXPECT_EQ(samples, pass.samples());
    std::vector<std::int32_t> all(tokens - 1);
    std::iota(all.begin(), all.end(), 1);
    EXPECT_EQ(targets, all);
  }
  EXPECT_EQ(SequentialPass(counting("a", 1000), 10, 3, 4).samples(), 4u);
}

}  // namespace
}  // namespace tern
