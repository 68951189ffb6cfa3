#include "layers/model_config.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/check.h"

namespace tern {
namespace {

TEST(ModelConfig, SizesByNameHaveTheirCounts) {
  struct Published {
    const char* name;
    std::int64_t glu_width, body_per_layer, total;
    double gflop;
  };
  for (const Published& p : {Published{"370m", 2816, 12'845'056, 374'108'160, 2.046},
                             Published{"1.3b", 5632, 51'380'224, 1'364'779'008, 7.792},
                             Published{"2.7b", 6912, 79'298'560, 2'702'357'504, 15.717},
                             Published{"13b", 13'824, 317'194'240, 13'017'856'000, 77.110}}) {
    const ModelConfig model = named_model(p.name);
    const ParameterCount count = count_parameters(model);
    EXPECT_EQ(model.glu_width(), p.glu_width) << p.name;
    EXPECT_EQ(count.body(), model.layers * p.body_per_layer) << p.name;
    EXPECT_EQ(count.total(), p.total) << p.name;
    EXPECT_NEAR(double(gemm_flop_per_token(model)) / 1e9, p.gflop, 0.0005) << p.name;
    EXPECT_NO_THROW(validate(model));
  }
}

// V=10, D=4, L=3, H=6, added up tensor by tensor.
TEST(ModelConfig, CountsByHand) {
  ModelConfig model{.vocab_size = 10, .width = 4, .layers = 3, .explicit_glu_width = 6};
  const ParameterCount count = count_parameters(model);
  EXPECT_EQ(count.embedding, 40);
  EXPECT_EQ(count.token_mixer, 3 * (16 + 16 + 16 + 16));
  EXPECT_EQ(count.channel_mixer, 3 * (12 * 4 + 4 * 6));
  EXPECT_EQ(count.head, 40);
  EXPECT_EQ(count.norms, 3 * (4 + 4 + 4 + 4 * 4 + 4 + 6) + 4 + 4);
  EXPECT_EQ(count.lower_bounds, 12);
  EXPECT_EQ(gemm_flop_per_token(model), 6 * (192 + 216 + 40));
  model.use_lower_bound = false;
  EXPECT_EQ(count_parameters(model).total(), count.total() - 12);
}

TEST(ModelConfig, GluWidthRoundsUpToWholeBlocks) {
  EXPECT_EQ(ModelConfig{.width = 96}.glu_width(), 256);   // int(8 * 96 / 3) = 256
  EXPECT_EQ(ModelConfig{.width = 97}.glu_width(), 512);   // 258
  EXPECT_EQ(ModelConfig{.width = 256}.glu_width(), 768);  // 682
  EXPECT_EQ((ModelConfig{.width = 256, .explicit_glu_width = 100}.glu_width()), 100);
}

std::string complaint(ModelConfig model) {
  try {
    validate(model);
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::usage);
    return e.what();
  }
  return "";
}

TEST(ModelConfig, NumbersOutsideTheLimitsAreNamed) {
  const ModelConfig good{.vocab_size = 1, .width = 1, .layers = 1};
  EXPECT_EQ(complaint(good), "");
  ModelConfig bad = good;
  bad.vocab_size = kMaxVocabSize + 1;
  EXPECT_EQ(complaint(bad), "[model] vocab_size: expected 1 to 1000000, got 1000001");
  bad = good, bad.width = 0;
  EXPECT_EQ(complaint(bad), "[model] hidden_size: expected 1 to 65536, got 0");
  bad = good, bad.layers = 1025;
  EXPECT_EQ(complaint(bad), "[model] num_hidden_layers: expected 1 to 1024, got 1025");
  bad = good, bad.explicit_glu_width = -1;
  EXPECT_EQ(complaint(bad), "[model] intermediate_size: expected 0 to 262144, got -1");
  bad.explicit_glu_width = 132'105;
  EXPECT_EQ(complaint(bad), "[model] intermediate_size: expected 1 to 132104, got 132105");
  bad = good, bad.rms_norm_eps = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(complaint(bad), "[model] rms_norm_eps: expected a number > 0, got nan");
}

TEST(ModelConfig, LargestModelDoesNotOverflow) {
  const ModelConfig largest{.vocab_size = kMaxVocabSize,
                            .width = kMaxWidth,
                            .layers = kMaxLayers,
                            .explicit_glu_width = kMaxGluWidth,
                            .quantize = Quantize::none};
  EXPECT_NO_THROW(validate(largest));
  EXPECT_NEAR(double(gemm_flop_per_token(largest)), 6 * (1024 * 16.0 * 65536 * 65536 + 65536e6),
              1e12);
}

TEST(ModelConfig, UnknownNameListsTheKnownOnes) {
  try {
    named_model("7b");
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::usage);
    EXPECT_STREQ(e.what(), "[model] size: expected one of 370m, 1.3b, 2.7b, 13b, got \"7b\"");
  }
  EXPECT_EQ(model_names().size(), 4u);
}

}  // namespace
}  // namespace tern
