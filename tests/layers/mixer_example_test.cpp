// The mixer of docs/adding_a_mixer.md: its gradients are right and it learns.
#include "tests/layers/mixer_example.h"

#include <gtest/gtest.h>

#include <cmath>

#include "layers/members.h"
#include "tests/layers/tiny_model.h"
#include "tests/support/op_case.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tolerances.h"

namespace tern {
namespace {

// An embedding, the mixer, and a head: the smallest language model around it.
struct MixerModel {
  explicit MixerModel(Index vocab, Index width) : mixer(width) {
    embedding_table.shape = head.shape = {vocab, width};
  }
  Var loss(Tape* tape, const Tensor& ids, const Tensor& targets, const Tensor& weight) {
    const Var x = mixer(tape, embedding(leaf(tape, embedding_table), ids));
    const Var rows = reshape(x, {targets.elements(), head.shape[1]});
    return cross_entropy({.codes = rows}, {.codes = leaf(tape, head)}, targets, weight).loss;
  }
  template <class F>
  void members(F&& f) {
    f("embedding.weight", embedding_table);
    f("mixer", mixer);
    f("head.weight", head);
  }
  Parameter embedding_table{}, head{};
  CumulativeMean mixer;
};

// An op made of ops is a case like any other.
OpCase cumulative_mean_case(Index B, Index T, Index D) {
  const Shape shape{B, T, D};
  return {.name = "cumulative_mean",
          .inputs = {{.name = "key", .shape = shape},
                     {.name = "value", .shape = shape},
                     {.name = "gate", .shape = shape}},
          .apply = [](auto in) { return Vars{cumulative_mean(in[0], in[1], in[2])}; }};
}

TEST(MixerExample, GradientsMatchFiniteDifferences) {
  CpuBackend cpu(1 << 20);
  const GradientError error = gradient_error(cpu, cumulative_mean_case(2, 5, 3));
  EXPECT_LE(error.worst, tolerance::kFiniteDifference) << error.where;
}

// Runs in the root of the sources, like all tests.
TEST(MixerExample, ThePageShowsThisCode) {
  const std::string page = read_text("docs/adding_a_mixer.md"),
                    code = read_text("tests/layers/mixer_example.h");
  const std::size_t function = code.find("// h[t] ="), layer = code.find("// y = x +"),
                    end = code.find("\n}  // namespace tern");
  ASSERT_TRUE(function < layer && layer < end && end != std::string::npos);
  EXPECT_NE(page.find(code.substr(function, layer - 1 - function)), std::string::npos);
  EXPECT_NE(page.find(code.substr(layer, end - layer)), std::string::npos);
}

TEST(MixerExample, TenStepsOfTrainingLowerTheLoss) {
  const Index B = 4, T = 16, V = 13, D = 8;
  CpuBackend cpu(std::size_t(4) << 20);
  MixerModel model(V, D);
  std::vector<Parameter*> parameters;
  walk("", model, [&](const std::string& name, Parameter& p) {
    p.name = name;
    parameters.push_back(&p);
  });
  EXPECT_EQ(parameters.size(), 7u);
  EXPECT_EQ(model.mixer.key.name, "mixer.key.weight");
  ParameterPack pack(cpu, parameters, DType::f32, true);
  for (Parameter* p : parameters) {
    std::vector<double> v(std::size_t(p->shape.elements()), 1);
    for (std::size_t i = 0; p->shape.rank() > 1 && i < v.size(); ++i)
      v[i] = 0.2 * Rng(1, stream_of(p->name)).normal(i);
    upload_real(p->value, v);
  }
  AdamWOptimizer adam(pack, {});
  const TinyBatch batch = tiny_batch(B, T, V);
  const Tensor ids = upload_ids(cpu, {B, T}, batch.ids),
               targets = upload_ids(cpu, {B * T}, batch.targets), weight(cpu, {1}, DType::f32);
  upload_real(weight, {1 / double(B * T)});
  std::vector<double> losses;
  for (int step = 0; step < 10; ++step) {
    adam.begin_step(0.05, 0.01);
    Tape tape;
    const Var loss = model.loss(&tape, ids, targets, weight);
    adam.add_loss(loss.value);
    tape.backward(loss);
    losses.push_back(adam.step().report().loss);
  }
  EXPECT_NEAR(losses[0], std::log(13), 0.3);
  for (std::size_t s = 1; s < losses.size(); ++s) EXPECT_LT(losses[s], losses[s - 1]) << s;
  EXPECT_LT(losses[9], 0.6 * losses[0]);
}

}  // namespace
}  // namespace tern
