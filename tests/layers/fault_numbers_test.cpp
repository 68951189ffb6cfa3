// Numbers at the edge: what must stay finite, and be right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "autograd/ops.h"
#include "tests/layers/plain_model.h"
#include "tests/layers/tiny_model.h"
#include "tests/support/tolerances.h"

namespace tern {
namespace {

using testing::Each;
using testing::Pointwise;
using testing::ResultOf;
using testing::Truly;
using Values = std::vector<double>;

MATCHER(IsFinite, "") {
  return std::isfinite(arg);
}
MATCHER_P(IsNearTo, tolerance, "") {
  const auto& [got, want] = arg;
  return std::abs(got - want) <= tolerance * std::max(1.0, std::abs(want));
}

class EdgeModel {
 public:
  explicit EdgeModel(DType dtype, Index steps = 6)
      : batch(tiny_batch(3, steps, 29)), trained(cpu, {.dtype = dtype}) {
    pack.initialize(1);
  }
  template <class F>
  void set(F&& value) {  // value(name, i)
    for (Parameter* p : pack.parameters()) {
      Values v = download_real(p->value);
      for (std::size_t i = 0; i < v.size(); ++i) v[i] = value(p->name, i, v[i]);
      upload_real(p->value, v);
    }
    pack.quantize();
  }
  Values logits() {
    return download_real(model.logits({}, upload_ids(cpu, {batch.B, batch.T}, batch.ids)));
  }
  Values plain_logits() {
    const PlainModel plain(model);
    Values all;
    for (Index b = 0; b < batch.B; ++b) {
      const Values y = plain.logits(batch.part(b, 1).ids);
      all.insert(all.end(), y.begin(), y.end());
    }
    return all;
  }
  double loss_and_gradients() {
    pack.begin_step();
    const double loss =
        download_real(forward_and_backward(model, batch, 1 / double(batch.B * batch.T)))[0];
    pack.finish_gradients();
    return loss;
  }
  void expect_finite_and_right(const std::string& what) {
    const Values got = logits(), want = plain_logits();
    EXPECT_THAT(got, Each(IsFinite())) << what;
    if (model.options().dtype == DType::f64) {  // in f32 single rounding decisions may differ
      EXPECT_THAT(got, Pointwise(IsNearTo(1e-9), want)) << what;
      const double loss = PlainModel(model).loss(batch.ids, batch.targets, std::size_t(batch.T));
      EXPECT_THAT(std::pair(loss_and_gradients(), loss), IsNearTo(1e-9)) << what;
    }
    EXPECT_TRUE(std::isfinite(loss_and_gradients())) << what;
    EXPECT_THAT(download_real(pack.gradients()), Each(IsFinite())) << what;
  }

  TinyBatch batch;
  CpuBackend cpu{std::size_t(32) << 20};
  TrainableModel trained;
  Model& model = trained.model;
  ParameterPack& pack = trained.pack;
};

bool is_norm(const std::string& name) {
  return name.find("norm") != std::string::npos;
}

struct Fault56 : testing::TestWithParam<DType> {};

TEST_P(Fault56, ALearningRateOfAThousand) {
  EdgeModel edge(GetParam());
  AdamWOptimizer adam(edge.pack, {});
  for (int step = 0; step < 3; ++step)
    EXPECT_TRUE(train_step(edge.model, adam, edge.batch, 1e3, 0, 2).applied);
  EXPECT_GT(std::abs(download_real(edge.pack.values())[0]), 100);
  edge.expect_finite_and_right("after three steps of 1e3");
}

TEST_P(Fault56, AllZeroMatrices) {
  EdgeModel edge(GetParam());
  edge.set([](const std::string& name, std::size_t, double v) {
    return is_norm(name) || name == "model.embeddings.weight" ? v : 0;
  });
  edge.expect_finite_and_right("zero matrices");
  EXPECT_THAT(edge.logits(), Each(0));
  EXPECT_NEAR(edge.loss_and_gradients(), std::log(29), 1e-6);
}

TEST_P(Fault56, AllZeroParameters) {
  EdgeModel edge(GetParam());
  edge.set([](auto&&...) { return 0; });
  edge.expect_finite_and_right("zero parameters");
  EXPECT_THAT(edge.logits(), Each(0));
}

TEST_P(Fault56, ConstantActivations) {
  EdgeModel edge(GetParam());
  edge.set([](const std::string& name, std::size_t, double v) {
    return name == "model.embeddings.weight" ? 0.37 : v;
  });
  edge.expect_finite_and_right("constant embedding");
}

TEST_P(Fault56, AbsmaxZero) {
  EdgeModel edge(GetParam());
  edge.set([](const std::string& name, std::size_t, double v) {
    return name == "model.embeddings.weight" ? 0 : v;
  });
  edge.expect_finite_and_right("zero embedding");
  EXPECT_THAT(edge.logits(), Each(0));
}

TEST_P(Fault56, Denormals) {
  EdgeModel edge(GetParam());
  const double tiny = GetParam() == DType::f32 ? double(std::numeric_limits<float>::denorm_min())
                                               : std::numeric_limits<double>::denorm_min();
  for (const char* part : {"embeddings", "proj.weight", "norm"}) {
    edge.pack.initialize(1);
    edge.set([&](const std::string& name, std::size_t i, double v) {
      return name.find(part) == std::string::npos ? v : tiny * double(i % 7);
    });
    edge.expect_finite_and_right(part);
  }
}

INSTANTIATE_TEST_SUITE_P(Real, Fault56, testing::Values(DType::f32, DType::f64),
                         [](const auto& p) { return name_of(p.param); });

// Fault 54, the model's part: one bad weight makes the loss bad, it cannot hide behind a quantiser.
TEST(Fault54, OneBadWeightShowsInTheLoss) {
  for (const double bad : {double(NAN), double(INFINITY)})
    for (const char* name :
         {"model.embeddings.weight", "model.layers.1.attn.f_proj.weight", "lm_head.weight",
          "model.layers.0.mlp.down_proj.weight", "model.layers.2.attn.g_norm.weight",
          "model.layers.2.mlp.gate_proj.norm.weight", "model.lower_bounds"}) {
      EdgeModel edge(DType::f32);
      const std::size_t at = std::size_t(edge.batch.ids[0]) * 21;  // of the first token's row
      edge.set([&](const std::string& n, std::size_t i, double v) {
        return n == name && (i == at || i == 0) ? bad : v;
      });
      EXPECT_FALSE(std::isfinite(edge.loss_and_gradients())) << name << ' ' << bad;
    }
}

TEST(Fault57, WithAllTokensMaskedLossAndGradientsAreZero) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    EdgeModel edge(dtype);
    std::fill(edge.batch.targets.begin(), edge.batch.targets.end(), kIgnoreIndex);
    AdamWOptimizer adam(edge.pack, {});
    adam.begin_step(1e-3, 0);
    const Tensor loss = forward_and_backward(edge.model, edge.batch, 0);
    EXPECT_EQ(download_real(loss)[0], 0);
    adam.add_loss(loss);
    const Values before = download_real(edge.pack.values());
    const UpdateReport report = adam.step().report();
    EXPECT_TRUE(report.applied);
    EXPECT_EQ(report.grad_norm, 0);
    EXPECT_EQ(download_real(edge.pack.values()), before);
  }
}

TEST(Fault57, MaskedTokensDoNotCount) {
  EdgeModel edge(DType::f64);
  const double whole = edge.loss_and_gradients();
  const Values gradients = download_real(edge.pack.gradients());
  for (Index b = 1; b < 3; ++b)  // two of three sequences masked: as if they were not there
    std::fill_n(edge.batch.targets.begin() + b * edge.batch.T, edge.batch.T, kIgnoreIndex);
  const double masked = edge.loss_and_gradients();
  const Values with_masked = download_real(edge.pack.gradients());
  edge.batch = tiny_batch(3, 6, 29).part(0, 1);
  edge.pack.begin_step();
  const double alone = download_real(forward_and_backward(edge.model, edge.batch, 1 / 18.0))[0];
  edge.pack.finish_gradients();
  EXPECT_NEAR(masked, alone, 1e-14);
  EXPECT_THAT(with_masked,
              Pointwise(IsNearTo(tolerance::kReordered), download_real(edge.pack.gradients())));
  EXPECT_GT(whole, masked);
  EXPECT_NE(gradients, with_masked);
}

TEST(Fault58, SequencesOfOneToken) {
  EdgeModel edge(DType::f64, 1);
  edge.expect_finite_and_right("T = 1");
}

TEST(Fault58, ABatchOfOneSequence) {
  EdgeModel edge(DType::f64, 40);
  edge.batch = edge.batch.part(1, 1);
  edge.expect_finite_and_right("B = 1");
}

// 32768 steps of the recurrence, both ways, against the same in plain loops.
TEST(Fault58, AVeryLongSequence) {
  const Index T = 32768, D = 2;
  CpuBackend cpu(std::size_t(64) << 20);
  Values f(std::size_t(T * D)), c(f.size()), dh(f.size());
  for (std::size_t i = 0; i < f.size(); ++i) {
    f[i] = 2 + 2 * Rng(1).normal(i);  // mostly remembers
    c[i] = Rng(2).normal(i), dh[i] = Rng(3).normal(i);
  }
  Parameter fp{.value = Tensor(cpu, {1, T, D}, DType::f64)}, cp = fp;
  cp.value = Tensor(cpu, {1, T, D}, DType::f64);
  for (Parameter* p : {&fp, &cp}) p->grad.tensor = Tensor(cpu, {1, T, D}, DType::f64);
  upload_real(fp.value, f), upload_real(cp.value, c);
  Tape tape;
  const Var h = mlgru(tape.leaf(fp), tape.leaf(cp)).h;
  const Tensor seed(cpu, {1, T, D}, DType::f64);
  upload_real(seed, dh);
  tape.backward(std::vector{h}, std::vector{seed});

  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  Values want(f.size()), df(f.size()), dc(f.size());
  for (Index d = 0; d < D; ++d) {
    double state = 0, arriving = 0;
    for (Index i = d; i < T * D; i += D) {
      const double s = sigmoid(f[i]);
      want[i] = state = s * state + (1 - s) * c[i] * sigmoid(c[i]);
    }
    for (Index i = (T - 1) * D + d; i >= 0; i -= D) {
      const double s = sigmoid(f[i]), sc = sigmoid(c[i]), before = i >= D ? want[i - D] : 0;
      arriving += dh[i];
      df[i] = arriving * (before - c[i] * sc) * s * (1 - s);
      dc[i] = arriving * (1 - s) * (sc + c[i] * sc * (1 - sc));
      arriving *= s;
    }
  }
  EXPECT_THAT(download_real(h.value), Pointwise(IsNearTo(1e-12), want));
  EXPECT_THAT(download_real(fp.grad.tensor), Pointwise(IsNearTo(1e-12), df));
  EXPECT_THAT(download_real(cp.grad.tensor), Pointwise(IsNearTo(1e-12), dc));
}

}  // namespace
}  // namespace tern
