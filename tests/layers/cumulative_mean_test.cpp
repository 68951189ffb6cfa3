// The mixer of docs/adding_a_mixer.md: its gradients are right, its model learns, and the page
// shows its code.
#include "layers/cumulative_mean.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/layers/tiny_model.h"
#include "tests/support/op_case.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tolerances.h"

namespace tern {
namespace {

ModelConfig config(Quantize quantize = Quantize::ternary) {
  ModelConfig c = tiny_config();
  c.type = "cumulative_mean";
  c.quantize = quantize;
  return c;
}

// An op made of ops is a case like any other.
OpCase cumulative_mean_case(Index B, Index T, Index D) {
  const Shape shape{B, T, D};
  return {.name = "cumulative_mean",
          .inputs = {{.name = "key", .shape = shape},
                     {.name = "value", .shape = shape},
                     {.name = "gate", .shape = shape}},
          .apply = [](auto in) { return Vars{cumulative_mean(in[0], in[1], in[2])}; }};
}

TEST(CumulativeMean, GradientsMatchFiniteDifferences) {
  CpuBackend cpu(1 << 20);
  const GradientError error = gradient_error(cpu, cumulative_mean_case(2, 5, 3));
  EXPECT_LE(error.worst, tolerance::kFiniteDifference) << error.where;
}

// Runs in the root of the sources, like all tests.
TEST(CumulativeMean, ThePageShowsThisCode) {
  const std::string page = read_text("docs/adding_a_mixer.md"),
                    code = read_text("layers/cumulative_mean.cpp");
  const std::size_t begin = code.find("Var cumulative_mean("),
                    end = code.find("\n}  // namespace tern");
  ASSERT_TRUE(begin < end && end != std::string::npos);
  EXPECT_NE(page.find(code.substr(begin, end - begin)), std::string::npos);
}

TEST(CumulativeMean, ItsModelHasItsParameters) {
  const Model model(config(), {});
  std::vector<std::string> names;
  for (const Parameter* p : model.parameters()) names.push_back(p->name);
  EXPECT_THAT(names, testing::IsSupersetOf({"model.layers.2.mixer_norm.weight",
                                            "model.layers.2.mixer.key.weight",
                                            "model.layers.2.mixer.out.norm.weight"}));
  EXPECT_THAT(names, testing::Not(testing::Contains("model.lower_bounds")));
  EXPECT_EQ(model.count().token_mixer, 3 * 4 * 21 * 21);
}

TEST(CumulativeMean, ASequenceInPartsGivesTheLogitsOfTheWhole) {
  CpuBackend cpu(std::size_t(32) << 20);
  const Index B = 2, T = 9, V = 29;
  TrainableModel trained(cpu, {.dtype = DType::f64}, config(Quantize::none));
  trained.pack.initialize(3);
  const TinyBatch batch = tiny_batch(B, T, V);
  const auto whole = download_real(trained.model.logits({}, upload_ids(cpu, {B, T}, batch.ids)));
  ModelState state = trained.model.new_state(B);
  for (const auto& [from, to] : {std::pair<Index, Index>{0, 4}, {4, 5}, {5, 9}}) {
    std::vector<std::int32_t> ids;
    for (Index b = 0; b < B; ++b)
      ids.insert(ids.end(), &batch.ids[b * T + from], &batch.ids[b * T] + to);
    const auto part =
        download_real(trained.model.logits({}, upload_ids(cpu, {B, to - from}, ids), &state));
    for (Index b = 0; b < B; ++b)
      for (Index i = 0; i < (to - from) * V; ++i)
        ASSERT_NEAR(part[b * (to - from) * V + i], whole[(b * T + from) * V + i], 1e-12);
    EXPECT_EQ(state[1].steps, to);
  }
}

TEST(CumulativeMean, TenStepsOfTrainingLowerTheLoss) {
  for (const Quantize quantize : {Quantize::ternary, Quantize::none}) {
    CpuBackend cpu(std::size_t(32) << 20);
    TrainableModel trained(cpu, {}, config(quantize));
    trained.pack.initialize(7);
    AdamWOptimizer adam(trained.pack, {});
    std::vector<double> losses;
    for (int step = 0; step < 10; ++step)
      losses.push_back(train_step(trained.model, adam, tiny_batch(4, 16, 29), 0.02, 0.01, 4).loss);
    EXPECT_NEAR(losses[0], std::log(29), 0.1);
    EXPECT_LT(losses[9], losses[0] - 1);
  }
}

}  // namespace
}  // namespace tern
