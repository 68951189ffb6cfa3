// What recomputation saves and what it costs, counted by a dry GPU at the widths of the 370M model.
#include <gtest/gtest.h>

#include "core/dry/dry_backend.h"
#include "tests/layers/tiny_model.h"

namespace tern {
namespace {

constexpr Index kWidth = 1024, kContext = 2048;

struct DryStep {
  double bytes = 0;  // of activations and their gradients, at the peak
  int launches = 0;
  int made = 0;  // products that make their rows
  double flops = 0;
};

struct Watch final : DryBackend {
  using DryBackend::DryBackend;
  using DryBackend::run;
  void run(const TernaryProductBackward& a) override {
    made += bool(a.x_of.sum);
    DryBackend::run(a);
  }
  int made = 0;
};

DryStep dry_step(Recompute recompute, Index layers, Index sequences, BackwardProducts backward = {},
                 ModelConfig config = {}) {
  config.vocab_size = 64, config.width = kWidth, config.layers = layers;
  Watch dry(DeviceTraits::h200());
  TrainableModel trained(dry,
                         {.activations = DType::bf16,
                          .residual = DType::bf16,
                          .recompute = recompute,
                          .backward = backward},
                         config);
  const std::size_t fixed = dry.pool().used();
  const int before = dry.launches();
  forward_and_backward(trained.model, tiny_batch(sequences, kContext, 64), 1);
  return {.bytes = double(dry.pool().high_water() - fixed),
          .launches = dry.launches() - before,
          .made = dry.made,
          .flops = dry.total().flops};
}

// In widths D per token and layer, without one layer's transients. 31: everything; 21: what
// products make and two sums of the stream, where small statistics of rows fit between; 2: one sum.
TEST(Recompute, BytesThatALayerAddsToThePeak) {
  constexpr Index sequences = 8;
  const auto added = [](Recompute recompute) {
    const double more =
        dry_step(recompute, 6, sequences).bytes - dry_step(recompute, 2, sequences).bytes;
    return more / double(4 * sequences * kContext * kWidth);
  };
  EXPECT_LE(added(Recompute::none), 31);
  EXPECT_LE(added(Recompute::norms), 26);
  EXPECT_LE(added(Recompute::cheap), 21.05);
  EXPECT_LE(added(Recompute::full), 2.05);
}

// A product of quotients in 8-bit floats would be refused: it has other bits than one of codes.
TEST(Recompute, RowsForProductsIn8BitFloatsAreMadeAsCodes) {
  EXPECT_LT(dry_step(Recompute::cheap, 3, 1, BackwardProducts::fp8).bytes,
            dry_step(Recompute::none, 3, 1, BackwardProducts::fp8).bytes);
}

// Five rows of a layer are made where products read them: five widths of bytes less, no kernel
// more.
TEST(Recompute, NormsCostNoKernelWhereProductsMakeTheirRows) {
  constexpr Index sequences = 8;
  const auto step = [](Recompute recompute, Index layers) {
    return dry_step(recompute, layers, sequences, BackwardProducts::fp8);
  };
  EXPECT_EQ(step(Recompute::norms, 3).launches, step(Recompute::none, 3).launches);
  const auto added = [&](Recompute recompute) {
    return (step(recompute, 6).bytes - step(recompute, 2).bytes) /
           double(4 * sequences * kContext * kWidth);
  };
  EXPECT_NEAR(added(Recompute::none) - added(Recompute::norms), 5, 0.05);
}

// Behind norms are i, f, g, o and the joint gate, or q, k, v, o, gate and up.
TEST(Recompute, NormsMakesTheRowsOfEveryProductBehindANorm) {
  for (const auto& [type, rows] : {std::pair("matmulfree", 5), std::pair("transformer", 6)}) {
    ModelConfig config;
    config.type = type;
    EXPECT_EQ(dry_step(Recompute::norms, 3, 1, BackwardProducts::fp8, config).made, 3 * rows)
        << type;
    EXPECT_EQ(dry_step(Recompute::none, 3, 1, BackwardProducts::fp8, config).made, 0) << type;
  }
}

TEST(Recompute, CheapRunsTwoNormsTwoGatesAndAScanAgain) {
  for (const Index layers : {1, 3}) {
    const DryStep kept = dry_step(Recompute::none, layers, 1),
                  again = dry_step(Recompute::cheap, layers, 1);
    EXPECT_EQ(again.launches, kept.launches + 5 * layers);
    EXPECT_LE(again.flops, 1.01 * kept.flops) << "a product ran again";
  }
}

// Without its gate o_proj's norm keeps the scan's states: no scan runs again.
TEST(Recompute, CheapKeepsStatesThatAreKeptAnyway) {
  ModelConfig config;
  config.use_output_gate = false;
  const auto step = [&](Recompute recompute) { return dry_step(recompute, 3, 1, {}, config); };
  EXPECT_EQ(step(Recompute::cheap).launches, step(Recompute::none).launches + 4 * 3);
}

}  // namespace
}  // namespace tern
