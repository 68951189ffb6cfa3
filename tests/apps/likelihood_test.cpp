// Log-likelihoods from shared contexts and copied states are those of every text alone.
#include "runtime/likelihood.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/dry/dry_backend.h"
#include "tests/layers/tiny_model.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

using testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

constexpr std::size_t kSlab = std::size_t(32) << 20;

// Each text alone, from its beginning, without a state.
Likelihood plainly(Model& model, const LikelihoodRequest& request) {
  Ids ids = request.context;
  ids.insert(ids.end(), request.continuation.begin(), request.continuation.end() - 1);
  const Index T = Index(ids.size()), V = model.config().vocab_size;
  const std::vector<double> logits =
      download_real(model.logits({}, upload_ids(model.backend(), {1, T}, ids)));
  Likelihood out{.greedy = true};
  for (std::size_t k = 0; k < request.continuation.size(); ++k) {
    const double* row = &logits[(request.context.size() - 1 + k) * std::size_t(V)];
    const double top = *std::max_element(row, row + V);
    double sum = 0;
    for (Index i = 0; i < V; ++i) sum += std::exp(row[i] - top);
    out.log_likelihood += row[request.continuation[k]] - top - std::log(sum);
    out.greedy = out.greedy && std::max_element(row, row + V) - row == request.continuation[k];
  }
  return out;
}

Ids some_ids(std::uint64_t seed, std::uint64_t count) {
  Ids ids;
  for (std::uint64_t i = 0; i < count; ++i) ids.push_back(std::int32_t(Rng(seed).bits(i) % 29));
  return ids;
}

// Contexts of 1 to 6 ids, several of each length, with 1 to 4 continuations; some again later.
std::vector<LikelihoodRequest> some_requests() {
  std::vector<LikelihoodRequest> out;
  for (std::uint64_t c = 0; c < 24; ++c)
    for (std::uint64_t k = 0; k <= c % 4; ++k)
      out.push_back({some_ids(c % 17, 1 + c % 6), some_ids(100 + 7 * c + k, 1 + (c + 3 * k) % 9)});
  return out;
}

// Continuations that the model takes for the likeliest.
void make_greedy(Model& model, LikelihoodRequest& request) {
  for (std::size_t k = 0; k < request.continuation.size(); ++k) {
    Ids ids = request.context;
    ids.insert(ids.end(), request.continuation.begin(),
               request.continuation.begin() + std::ptrdiff_t(k));
    const auto logits =
        download_real(model.logits({}, upload_ids(model.backend(), {1, Index(ids.size())}, ids))
                          .slice(Index(ids.size()) - 1, 1));
    request.continuation[k] =
        std::int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
}

struct Trained {
  Trained(DType dtype, const ModelConfig& config)
      : trained(cpu, {.dtype = dtype, .loss_rows = 7}, config) {
    trained.pack.initialize(1);
    std::vector<double> values = download_real(trained.pack.values());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += 0.3 * Rng(9).normal(i);
    upload_real(trained.pack.values(), values);
    trained.pack.quantize();
  }
  CpuBackend cpu{kSlab};
  TrainableModel trained;
};

class LikelihoodOf : public testing::TestWithParam<std::string> {
 protected:
  static ModelConfig config() {
    ModelConfig config = tiny_config();
    config.type = GetParam();
    if (config.type == "transformer") config.width = 20;  // even heads
    return config;
  }
};

TEST_P(LikelihoodOf, SharedContextsIsThatOfEachTextAlone) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    Trained t(dtype, config());
    Model& model = t.trained.model;
    std::vector<LikelihoodRequest> requests = some_requests();
    for (std::size_t i = 0; i < requests.size(); i += 5) make_greedy(model, requests[i]);
    int greedy = 0;
    for (const Index tokens : {1, 12, 1000}) {
      const auto got = LikelihoodScorer(requests, tokens).run(model, {});
      ASSERT_EQ(got.size(), requests.size());
      for (std::size_t i = 0; i < got.size(); ++i) {
        const Likelihood want = plainly(model, requests[i]);
        EXPECT_NEAR(got[i].log_likelihood, want.log_likelihood, dtype == DType::f64 ? 1e-12 : 1e-4)
            << dtype << ' ' << tokens << ", request " << i;
        EXPECT_EQ(got[i].greedy, want.greedy) << dtype << ' ' << tokens << ", request " << i;
        greedy += got[i].greedy;
      }
    }
    EXPECT_GE(greedy, 3 * int(requests.size() / 5)) << dtype;
    EXPECT_LT(greedy, 3 * int(requests.size())) << dtype;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, LikelihoodOf,
                         testing::Values("matmulfree", "transformer", "cumulative_mean"));

TEST(Likelihood, ARehearsalNeedsTheMemoryOfTheRun) {
  std::vector<LikelihoodRequest> requests = some_requests();
  requests.push_back({some_ids(3, 60), some_ids(4, 2)});  // a batch of its own, by far the largest
  const LikelihoodScorer scorer(requests, 12);
  DryBackend dry;
  {
    TrainableModel rehearsed(dry);
    scorer.rehearse(rehearsed.model);
  }
  CpuBackend cpu(dry.pool().high_water());
  TrainableModel trained(cpu);
  trained.pack.initialize(1);
  trained.pack.quantize();
  scorer.run(trained.model, {});
  EXPECT_EQ(cpu.pool().high_water(), dry.pool().high_water());
}

TEST(Likelihood, ProgressGrowsToOne) {
  Trained t(DType::f32, tiny_config());
  std::vector<double> shares;
  LikelihoodScorer(some_requests(), 12).run(t.trained.model, [&](double share) {
    EXPECT_GT(share, shares.empty() ? 0 : shares.back());
    shares.push_back(share);
  });
  EXPECT_GT(shares.size(), 6u);
  EXPECT_NEAR(shares.back(), 1, 1e-12);
}

TEST(Likelihood, OfAModelWithNaNIsRefused) {
  Trained t(DType::f32, tiny_config());
  t.cpu.fill(t.trained.pack.values(), std::numeric_limits<double>::quiet_NaN());
  try {
    LikelihoodScorer({{{1, 2}, {3}}}, 12).run(t.trained.model, {});
    ADD_FAILURE() << "not refused";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::diverged);
    EXPECT_THAT(e.what(), HasSubstr("log-likelihood of token 3 is"));
  }
}

TEST(Likelihood, RequestsWithoutIdsAreRefused) {
  for (const LikelihoodRequest& empty : {LikelihoodRequest{{}, {1}}, LikelihoodRequest{{1}, {}}})
    EXPECT_THAT(complaint([&] { LikelihoodScorer({empty}, 12); }), HasSubstr("at least one id"));
}

}  // namespace
}  // namespace tern
