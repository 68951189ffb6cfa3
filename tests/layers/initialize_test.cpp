// Where training starts: means and spreads of every tensor, and nothing else it depends on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/layers/tiny_model.h"

namespace tern {
namespace {

using testing::Each;
using Values = std::vector<double>;

struct Spread {
  double mean = 0, deviation = 0, largest = 0;
};

Spread spread_of(const Values& v) {
  Spread s;
  for (const double e : v)
    s.mean += e / double(v.size()), s.largest = std::max(s.largest, std::abs(e));
  for (const double e : v) s.deviation += (e - s.mean) * (e - s.mean) / double(v.size());
  s.deviation = std::sqrt(s.deviation);
  return s;
}

struct InitializedModel {
  explicit InitializedModel(std::uint64_t seed, Init init = Init::reference,
                            DType dtype = DType::f64)
      : cpu(std::size_t(64) << 20),
        trained(cpu, {.dtype = dtype},
                {.vocab_size = 300,
                 .width = 96,
                 .layers = 2,
                 .explicit_glu_width = 160,
                 .init = init}) {
    trained.pack.initialize(seed);
  }
  Values operator[](const std::string& name) {
    for (const Parameter* p : trained.pack.parameters())
      if (p->name == name) return download_real(p->value);
    ADD_FAILURE() << "no " << name;
    return {};
  }
  CpuBackend cpu;
  TrainableModel trained;
};

void expect_normal(const Values& v, double deviation) {
  const Spread s = spread_of(v);
  const double n = double(v.size());
  EXPECT_NEAR(s.mean, 0, 5 * deviation / std::sqrt(n));
  EXPECT_NEAR(s.deviation, deviation, 5 * deviation / std::sqrt(2 * n));
  EXPECT_GT(s.largest, 3 * deviation);
}

TEST(Initialize, ReferenceSpreads) {
  InitializedModel m(1);
  expect_normal(m["model.embeddings.weight"], 0.02);
  expect_normal(m["lm_head.weight"], 0.02);
  expect_normal(m["model.layers.1.mlp.gate_proj.weight"], 0.02);
  expect_normal(m["model.layers.1.mlp.down_proj.weight"], 0.02 / std::sqrt(2.0 * 2));
  // Xavier-uniform of gain 2^-2.5 on (96, 96)
  const double bound = std::pow(2, -2.5) * std::sqrt(6.0 / (96 + 96));
  for (const char* p : {"i", "f", "g", "o"}) {
    const Spread s = spread_of(m["model.layers.0.attn." + std::string(p) + "_proj.weight"]);
    EXPECT_NEAR(s.deviation, bound / std::sqrt(3), 0.02 * bound);
    EXPECT_LE(s.largest, bound);
    EXPECT_GT(s.largest, 0.99 * bound);
  }
  EXPECT_THAT(m["model.lower_bounds"], Each(0));
  for (const char* norm :
       {"model.norm.weight", "lm_head.norm.weight", "model.layers.0.attn_norm.weight",
        "model.layers.1.attn.g_norm.weight", "model.layers.1.mlp.down_proj.norm.weight"})
    EXPECT_THAT(m[norm], Each(1)) << norm;
}

TEST(Initialize, NormalSpreads) {
  InitializedModel m(1, Init::normal);
  for (const char* name : {"model.embeddings.weight", "model.layers.0.attn.f_proj.weight",
                           "model.layers.1.mlp.down_proj.weight", "lm_head.weight"})
    expect_normal(m[name], 0.02);
}

TEST(Initialize, DependsOnSeedAndNameAlone) {
  InitializedModel a(1), b(1), other(2), single(1, Init::reference, DType::f32);
  const std::string f = "model.layers.0.attn.f_proj.weight";
  EXPECT_EQ(a[f], b[f]);
  EXPECT_NE(a[f], other[f]);
  EXPECT_NE(a[f], a["model.layers.0.attn.i_proj.weight"]);
  EXPECT_NE(a[f], a["model.layers.1.attn.f_proj.weight"]);
  const Values narrow = single[f], wide = a[f];
  for (std::size_t i = 0; i < wide.size(); ++i) ASSERT_EQ(narrow[i], double(float(wide[i])));
}

}  // namespace
}  // namespace tern
