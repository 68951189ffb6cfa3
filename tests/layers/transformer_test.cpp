// Transformer++ in its three forms: parameters, causality, cache, recomputation, learning; and what
// its configuration refuses. Its arithmetic is in golden files and op cases.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "tests/layers/tiny_model.h"

namespace tern {
namespace {

using testing::HasSubstr;
using Values = std::vector<double>;

constexpr Index kV = 29, kD = 24, kH = 35, kL = 2;

ModelConfig config(Quantize quantize, AttentionKind attention = AttentionKind::dense) {
  return {.type = "transformer",
          .vocab_size = kV,
          .width = kD,
          .layers = kL,
          .explicit_glu_width = kH,
          .explicit_heads = 3,
          .attention = attention,
          .quantize = quantize};
}

std::vector<ModelConfig> forms() {
  return {config(Quantize::none), config(Quantize::ternary),
          config(Quantize::ternary, AttentionKind::ternary)};
}

std::string name_of(const ModelConfig& c) {
  if (c.quantize == Quantize::none) return "dense";
  return c.attention == AttentionKind::ternary ? "ternary_attention" : "ternary";
}

}  // namespace

void PrintTo(const ModelConfig& c, std::ostream* out) {
  *out << name_of(c);
}

namespace {

class Transformer : public testing::TestWithParam<ModelConfig> {
 protected:
  struct Tiny {
    explicit Tiny(const ModelConfig& config, const ModelOptions& options = {.dtype = DType::f64})
        : trained(cpu, options, config) {
      trained.pack.initialize(3);
    }
    Values logits(Index B, Index T, const std::vector<std::int32_t>& ids,
                  ModelState* state = nullptr) {
      return download_real(trained.model.logits({}, upload_ids(cpu, {B, T}, ids), state));
    }
    Values gradients(const TinyBatch& batch) {
      trained.pack.begin_step();
      forward_and_backward(trained.model, batch, 1 / double(batch.B * batch.T));
      trained.pack.finish_gradients();
      return download_real(trained.pack.gradients());
    }
    CpuBackend cpu{std::size_t(64) << 20};
    TrainableModel trained;
  };
};

INSTANTIATE_TEST_SUITE_P(Forms, Transformer, testing::ValuesIn(forms()),
                         [](const auto& form) { return name_of(form.param); });

TEST_P(Transformer, ParametersAreThoseOfLlama) {
  const Tiny tiny(GetParam());
  const bool dense = GetParam().quantize == Quantize::none;
  std::map<std::string, Shape> found, want{{"model.embed_tokens.weight", {kV, kD}},
                                           {"model.norm.weight", {kD}},
                                           {"lm_head.weight", {kV, kD}}};
  for (const Parameter* p : tiny.trained.model.parameters()) {
    found[p->name] = p->shape;
    EXPECT_EQ(p->weight_decay, p->name.ends_with("_proj.weight") || p->name == "lm_head.weight")
        << p->name;
    EXPECT_EQ(p->ternary, !dense && p->weight_decay) << p->name;
    EXPECT_EQ(p->working_copy, dense && p->weight_decay) << p->name;
  }
  const auto add = [&](const std::string& name, Index outputs, Index inputs) {
    want[name + ".weight"] = {outputs, inputs};
    if (!dense) want[name + ".norm.weight"] = {inputs};
  };
  if (!dense) want["lm_head.norm.weight"] = {kD};
  for (Index l = 0; l < kL; ++l) {
    const std::string layer = "model.layers." + std::to_string(l) + ".";
    want[layer + "input_layernorm.weight"] = want[layer + "post_attention_layernorm.weight"] = {kD};
    if (dense) {
      add(layer + "self_attn.qkv_proj", 3 * kD, kD);
      add(layer + "mlp.gate_up_proj", 2 * kH, kD);
    } else {
      for (const char* p : {"q", "k", "v"}) add(layer + "self_attn." + p + "_proj", kD, kD);
      for (const char* p : {"gate", "up"}) add(layer + "mlp." + p + "_proj", kH, kD);
    }
    add(layer + "self_attn.o_proj", kD, kD);
    add(layer + "mlp.down_proj", kD, kH);
  }
  EXPECT_EQ(found, want);
  const ParameterCount count = tiny.trained.model.count();
  EXPECT_EQ(count.token_mixer, kL * 4 * kD * kD);
  EXPECT_EQ(count.channel_mixer, kL * 3 * kD * kH);
  EXPECT_EQ(count.lower_bounds, 0);
}

// Parts cross the capacity of the first cache, and of the next.
TEST_P(Transformer, ASequenceInPartsGivesTheLogitsOfTheWhole) {
  Tiny tiny(GetParam());
  const Index B = 2, T = 150;
  const TinyBatch batch = tiny_batch(B, T, kV);
  const Values whole = tiny.logits(B, T, batch.ids);
  ModelState state = tiny.trained.model.new_state(B);
  for (const auto& [from, to] :
       {std::pair<Index, Index>{0, 3}, {3, 4}, {4, 64}, {64, 65}, {65, 140}, {140, T}}) {
    std::vector<std::int32_t> ids;
    for (Index b = 0; b < B; ++b)
      ids.insert(ids.end(), &batch.ids[b * T + from], &batch.ids[b * T] + to);
    const Values part = tiny.logits(B, to - from, ids, &state);
    for (Index b = 0; b < B; ++b)
      for (Index i = 0; i < (to - from) * kV; ++i)
        ASSERT_NEAR(part[b * (to - from) * kV + i], whole[(b * T + from) * kV + i], 1e-11)
            << from << ' ' << b << ' ' << i / kV;
    EXPECT_EQ(state[1].steps, to);
  }
}

TEST_P(Transformer, ATokenChangesNothingBeforeIt) {
  Tiny tiny(GetParam());
  const Index T = 12, at = 7;
  TinyBatch batch = tiny_batch(1, T, kV);
  const Values before = tiny.logits(1, T, batch.ids);
  batch.ids[at] = (batch.ids[at] + 1) % std::int32_t(kV);
  const Values after = tiny.logits(1, T, batch.ids);
  for (Index t = 0; t < T; ++t) {
    const auto row = [&](const Values& logits) {
      return Values(logits.begin() + t * kV, logits.begin() + (t + 1) * kV);
    };
    EXPECT_EQ(row(before) == row(after), t < at) << t;
  }
}

TEST_P(Transformer, RecomputingChangesNoBitOfAnyGradient) {
  const TinyBatch batch = tiny_batch(3, 10, kV);
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Values kept = Tiny(GetParam(), {.dtype = dtype}).gradients(batch);
    for (const Recompute recompute : {Recompute::norms, Recompute::cheap, Recompute::full})
      EXPECT_EQ(Tiny(GetParam(), {.dtype = dtype, .recompute = recompute}).gradients(batch), kept)
          << dtype << ' ' << int(recompute);
  }
}

TEST_P(Transformer, BitsDoNotDependOnTheNumberOfThreads) {
  const TinyBatch batch = tiny_batch(5, 70, kV);
  const int usual = omp_get_max_threads();
  std::vector<Values> seen;
  for (const int threads : {1, 2, 3, 5}) {
    omp_set_num_threads(threads);
    seen.push_back(Tiny(GetParam(), {}).gradients(batch));
  }
  omp_set_num_threads(usual);
  for (const Values& other : seen) EXPECT_EQ(other, seen[0]);
}

TEST_P(Transformer, TenStepsOfTrainingLowerTheLoss) {
  Tiny tiny(GetParam(), {});
  AdamWOptimizer adam(tiny.trained.pack, {});
  std::vector<double> losses;
  for (int step = 0; step < 10; ++step)
    losses.push_back(
        train_step(tiny.trained.model, adam, tiny_batch(4, 16, kV), 0.02, 0.01, 4).loss);
  EXPECT_NEAR(losses[0], std::log(double(kV)), 0.2);
  EXPECT_LT(losses[9], losses[0] - 1);
}

// The order of two earlier tokens matters only through their positions.
TEST_P(Transformer, KnowsPositions) {
  Tiny tiny(GetParam());
  const Values ab = tiny.logits(1, 3, {4, 9, 2}), ba = tiny.logits(1, 3, {9, 4, 2});
  double difference = 0;
  for (Index i = 2 * kV; i < 3 * kV; ++i)
    difference = std::max(difference, std::abs(ab[i] - ba[i]));
  EXPECT_GT(difference, 1e-6);
}

TEST(TransformerConfig, HeadsHave128ChannelsOr64) {
  const auto heads = [](std::int64_t width) {
    return ModelConfig{.type = "transformer", .width = width}.heads();
  };
  EXPECT_EQ(heads(2560), 20);
  EXPECT_EQ(heads(1024), 8);
  EXPECT_EQ(heads(512), 8);
  EXPECT_EQ(heads(32), 1);
}

TEST(TransformerConfig, ValuesThatAFamilyCannotTakeAreRefused) {
  const auto complaint = [](ModelConfig c) -> std::string {
    try {
      validate(c);
    } catch (const Error& e) {
      EXPECT_EQ(e.fault, Fault::usage);
      return e.what();
    }
    return "";
  };
  ModelConfig c = config(Quantize::none);
  EXPECT_EQ(complaint(c), "");
  c.explicit_heads = 5;
  EXPECT_THAT(complaint(c), HasSubstr("num_attention_heads: expected a number of heads that share "
                                      "hidden_size = 24 in equal, even parts, got 5"));
  c.explicit_heads = 8;  // of three channels
  EXPECT_THAT(complaint(c), HasSubstr("got 8"));
  c = config(Quantize::none, AttentionKind::ternary);
  EXPECT_THAT(complaint(c), HasSubstr("attention: expected \"dense\" with quantize = \"none\""));
  c = config(Quantize::ternary);
  c.use_lower_bound = false;
  EXPECT_THAT(complaint(c), HasSubstr("use_lower_bound: expected no value"));
  c = tiny_config();
  c.explicit_heads = 3;
  EXPECT_THAT(complaint(c), HasSubstr("num_attention_heads: expected no value with type = "
                                      "\"matmulfree\", which has no attention"));
  c = tiny_config();
  c.rope_theta = 5e5;
  EXPECT_THAT(complaint(c), HasSubstr("rope_theta: expected no value"));
  c = tiny_config();
  c.attention = AttentionKind::ternary;
  EXPECT_THAT(complaint(c), HasSubstr("attention: expected no value"));
}

}  // namespace
}  // namespace tern
