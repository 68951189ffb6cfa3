#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/bench/bit_linear.h"
#include "apps/bench/decode.h"
#include "apps/bench/eigen_product.h"
#include "core/cpu/cpu_backend.h"
#include "core/dry/dry_backend.h"
#include "core/ternary_tiles.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

RunConfig small() {
  RunConfig config;
  config.model = {.vocab_size = 50, .width = 32, .layers = 2};
  config.batch = {.tokens = 32, .context = 8};
  return config;
}
double counted_flops() {
  return double(gemm_flop_per_token(small().model)) * double(small().batch.tokens);
}

TEST(Bench, QuartilesInterpolate) {
  Samples s;
  for (const double v : {4.0, 1.0, 3.0, 2.0}) s.add(v);
  EXPECT_DOUBLE_EQ(s.median(), 2.5);
  EXPECT_DOUBLE_EQ(s.low(), 1.75);
  EXPECT_DOUBLE_EQ(s.high(), 3.25);
}

// What the kernels of a step cost together is what the ratio counts: 6 FLOP a weight and token.
TEST(Bench, KernelsOfAStepCostWhatTheRatioCounts) {
  DryBackend dry;
  TrainingStep step(dry, small(), 2);  // in two micro-batches
  step.run();
  EXPECT_DOUBLE_EQ(dry.total().flops, counted_flops());
}

TEST(Bench, TimesEveryKernelOfARealStep) {
  CpuBackend backend(plan_memory(small(), 4, {}).peak);
  TimedBackend timed(backend);
  TrainingStep step(timed, small(), 4);
  step.initialize();
  EXPECT_TRUE(step.run().report().applied);
  double flops = 0;
  for (const KernelTimes& k : timed.kernels()) flops += k.cost.flops * double(k.seconds.count());
  EXPECT_DOUBLE_EQ(flops, counted_flops());
}

TEST(Bench, AttentionTakesTheMemoryOfItsPlan) {
  const AttentionSize size{.batch = 2, .context = 70, .heads = 3, .head_width = 8, .hidden = 20};
  CpuBackend backend(attention_bytes(size, DType::f32, {}));
  const OpsBench r = bench_attention(backend, size, DType::f32, 2);
  EXPECT_EQ(r.kernels.size(), 7u);  // attention twice: of all steps, and of one
  for (const KernelTimes& k : r.kernels) EXPECT_EQ(k.seconds.count(), 2u) << k.name;
  EXPECT_GT(attention_bytes(size, DType::bf16, DeviceTraits::h200()), 3 * (std::size_t(128) << 20));
}

// The composed model is the same function: what differs is rounding, and a decision that it flips.
TEST(Bench, FusedAndComposedFormsAreTheSameLayerAndTheSameModel) {
  RunConfig config = small();
  config.model.explicit_glu_width = 48;
  CpuBackend backend(fusion_bytes(config, {}));
  const FusionBench layer = bench_layer_fusion(backend, config, 2),
                    model = bench_model_fusion(backend, config, 2);
  EXPECT_LE(layer.difference, 1e-5);
  EXPECT_LE(model.difference, 1e-4);
  for (const FusionBench* r : {&layer, &model}) {
    EXPECT_LT(r->fused.kept, r->composed.kept);
    EXPECT_LT(r->fused.peak, r->composed.peak);
    EXPECT_LT(r->fused.traffic, r->composed.traffic);
    EXPECT_EQ(r->fused.seconds.count(), 2u);
  }
}

// What fits is planned: the GPU's workspaces are in it, and both precisions of backward.
TEST(Bench, TrainingProductsArePlanned) {
  RunConfig config = small();
  config.batch.micro_batch = 2;
  const std::size_t plain = training_products_bytes(config, {.multiprocessors = 132});
  EXPECT_GT(plain, kLibraryWorkspace);
  EXPECT_GE(training_products_bytes(config, DeviceTraits::h200()), plain);
  EXPECT_GT(forward_products_bytes(config, DeviceTraits::h200()), kLibraryWorkspace);
}

TEST(Bench, TrainsFromOptionsOrAConfigurationAndShowsTheStepByKernel) {
  const TemporaryDirectory room;
  write_text(room / "run.toml",
             "[run]\nsteps = 5\n[model]\nvocab_size = 64\nhidden_size = 16\n"
             "num_hidden_layers = 1\n[[data.source]]\npath = \"not there\"\n"
             "[optimizer]\nlr = 1e-2\n[batch]\ntokens = 64\ncontext = 8\nmicro_batch = 4\n");
  const std::vector<std::vector<std::string>> sizes = {
      {"--width", "16", "--layers", "1", "--vocab", "64", "--batch", "8", "--context", "8"},
      {"--config", room / "run.toml", "--set", "memory.recompute=full"}};
  for (const std::vector<std::string>& size : sizes) {
    std::vector<std::string> args = {sibling_program("tern"), "bench", "train", "--steps", "1"};
    args.insert(args.end(), size.begin(), size.end());
    const Outcome outcome = tern::run({.args = args});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    const bool from_file = size[0] == "--config";
    for (const char* part : {"8 sequences of T=8", from_file ? "4 at once" : "8 at once",
                             "tokens/s", "peak memory", "AdamW"})
      EXPECT_THAT(outcome.out, testing::HasSubstr(part));
  }
}

ModelConfig small_in_tiles() {
  return {.vocab_size = 64, .width = 32, .layers = 2, .explicit_glu_width = 48};
}

LoadedModel load_for(const ModelConfig& config, const DecodeSize& size) {
  return load_model(random_model(config), Device("cpu"),
                    [&](Model& model) { rehearse_decode(model, size); });
}

TEST(BenchDecode, RandomMatricesHaveLegalCodesInMemoryOfTheirOwn) {
  const LoadedModel loaded = load_for(small_in_tiles(), {});
  std::set<const void*> places;
  std::set<std::string> contents;
  for (const Parameter* p : loaded.model->parameters()) {
    if (!p->ternary) continue;
    ASSERT_EQ(p->copy.t.dtype(), DType::t2) << p->name;
    const auto* const tiles = p->copy.t.data<TernaryTile>();
    EXPECT_FALSE(find_wrong_code(tiles, p->shape[0], p->shape[1])) << p->name;
    places.insert(tiles);
    contents.insert(std::string(reinterpret_cast<const char*>(tiles), 64));
    std::vector<std::int8_t> codes(std::size_t(p->shape.elements()));
    unpack_tiles(codes.data(), tiles, 0, p->shape[0], p->shape[1]);
    for (const int code : {-1, 0, 1})
      EXPECT_GT(double(std::ranges::count(codes, code)) / double(codes.size()), 0.2) << p->name;
  }
  EXPECT_EQ(places.size(), 2u * 6 + 1);
  EXPECT_EQ(contents.size(), places.size());
}

// Two bits a weight of body and head, a row of the embedding in bf16 and the state for each stream;
// of the dense model four bytes each.
TEST(BenchDecode, CountsTheBytesOfAStepByHand) {
  const double body = 2 * (4 * 32 * 32 + 3 * 32 * 48), head = 64 * 32;
  ModelConfig config = small_in_tiles();
  for (const Quantize quantize : {Quantize::ternary, Quantize::none}) {
    config.quantize = quantize;
    const bool ternary = quantize == Quantize::ternary;
    const LoadedModel loaded = load_for(config, {.streams = 3});
    const StepBytes bytes = step_bytes(*loaded.model, loaded.model->new_state(3), 3);
    EXPECT_EQ(bytes.weights, (ternary ? 0.25 : 4) * (body + head));
    EXPECT_EQ(bytes.rows, (ternary ? 2 : 4) * 3 * 32);
    EXPECT_EQ(bytes.state, 4 * 2 * 3 * 32);
    EXPECT_EQ(bytes.streamed(), bytes.weights + bytes.rows);
  }
}

TEST(BenchDecode, MeasuresEveryTokenOfEveryRound) {
  const DecodeSize size{.streams = 3, .prompt = kPromptChunk + 5, .tokens = 7};
  const LoadedModel loaded = load_for(small_in_tiles(), size);
  const std::size_t planned = loaded.backend->pool().high_water();
  const DecodeBench r = bench_decode(loaded, size);
  EXPECT_EQ(r.step.count(), 7u);
  EXPECT_EQ(r.prefill.count(), 5u);
  EXPECT_EQ(r.roof.count(), 3u * 6);
  EXPECT_EQ(r.int8.count(), CpuBackend::code_kernels() == "plain" ? 0u : 5u);
  EXPECT_EQ(r.body_weights, 2 * (4 * 32 * 32 + 3 * 32 * 48));
  EXPECT_DOUBLE_EQ(r.tokens_per_second(3) * r.step.median(), 3);
  EXPECT_DOUBLE_EQ(r.share_of_roof() * r.roof.median() * r.step.median(), r.bytes.streamed());
  EXPECT_GT(r.resident, r.pool);
  EXPECT_GE(r.pool, planned);
  const std::size_t bounds =
      loaded.model->gate_bounds().bytes();  // kept; weights are not the pool's
  EXPECT_EQ(loaded.backend->pool().used(), (bounds + 255) / 256 * 256);
  const DecodeBench no_prompt = bench_decode(loaded, {.prompt = 1, .tokens = 1}, false);
  EXPECT_EQ(no_prompt.step.count(), 1u);
  EXPECT_EQ(no_prompt.prefill.count(), 0u);
}

// A counter that is read before and after each round's tokens, not between: 3 J a round.
TEST(BenchDecode, EnergyIsThatOfTheTokens) {
  const LoadedModel loaded = load_for(small_in_tiles(), {.streams = 2, .prompt = 4, .tokens = 10});
  const auto bench = [&](const EnergyCounter& energy) {
    return bench_decode(loaded, {.streams = 2, .prompt = 4, .tokens = 10}, true, energy);
  };
  double joules = 1e6;
  const DecodeBench r = bench({.joules = [&] { return joules += 3; }});
  EXPECT_DOUBLE_EQ(r.joules.value(), 5 * 3 / 20.0);
  EXPECT_FALSE(r.too_short);
  const DecodeBench slow = bench({.joules = [&] { return joules += 3; }, .between = 60});
  EXPECT_EQ(slow.joules, std::nullopt) << "tokens of less than twenty minutes";
  EXPECT_TRUE(slow.too_short);
  int asked = 0;
  const DecodeBench none = bench({.joules = [&]() -> std::optional<double> {
    return asked++ < 3 ? std::optional(1.0) : std::nullopt;  // it fails on the way
  }});
  EXPECT_EQ(none.joules, std::nullopt);
  EXPECT_FALSE(none.too_short);
}

// Faster than a clock can be: nothing was read. Slower than a disk: each byte by itself.
TEST(BenchDecode, RoofsArePlausible) {
  PlainRead read(std::size_t(64) << 20);
  EXPECT_EQ(read.bytes(), std::size_t(64) << 20);
  EXPECT_GT(read.rate(), 1e8);
  EXPECT_LT(read.rate(), 1e13);
  if (const auto rate = int8_rate()) {
    EXPECT_GT(*rate, 1e9);
    EXPECT_LT(*rate, 1e13 * omp_get_max_threads());
  }
  EXPECT_GT(plain_read_bytes(), 0u);
  EXPECT_EQ(plain_read_bytes() % 4096, 0u);
}

TEST(BenchDecode, ADenseModelThatDoesNotFitIsNotMade) {
  EXPECT_EQ(no_dense_model(small_in_tiles(), Device("cpu")), "");
  EXPECT_THAT(no_dense_model({.width = 65'536, .layers = 1024}, Device("cpu")),
              testing::AllOf(testing::HasSubstr("it needs 2"), testing::HasSubstr("are free")));
}

Outcome decode(std::vector<std::string> args) {
  args.insert(args.begin(), {sibling_program("tern"), "bench", "decode"});
  return tern::run({.args = args});
}

// Of a ternary, a dense model and one with attention: the same numbers as text and as JSON.
TEST(BenchDecode, MeasuresCheckpoints) {
  const test::TinyRun tiny;
  for (const std::string setting :
       {"model.type=matmulfree", "model.quantize=none", "model.type=transformer"}) {
    const std::string name = setting.substr(setting.find('=') + 1);
    ASSERT_EQ(tern::run(tiny.command(name, {"run.steps=2", setting})).exit_code, 0);
    const Outcome json = decode({"--checkpoint", tiny.directory(name), "--streams", "2",
                                 "--prompt-tokens", "20", "--tokens", "6", "--json"});
    ASSERT_EQ(json.exit_code, 0) << json.err;
    const auto r = nlohmann::json::parse(json.out);
    EXPECT_EQ(r.at("ternary"), name != "none");
    EXPECT_EQ(r.at("streams"), 2);
    EXPECT_NEAR(double(r.at("tokens_per_second")) * double(r.at("ms_per_token")), 2e3, 1e-6);
    EXPECT_NEAR(double(r.at("share_of_roof")) * double(r.at("roof_bytes_per_second")),
                double(r.at("bytes_per_second")), 1);
    EXPECT_EQ(r.at("dense").is_null(), name == "none");
    EXPECT_EQ(r.contains("no_dense"), name == "none");
    EXPECT_GT(r.at("resident_bytes"), 1e6);
  }
  const Outcome text =
      decode({"--checkpoint", tiny.directory("matmulfree"), "--prompt-tokens", "5"});
  ASSERT_EQ(text.exit_code, 0) << text.err;
  for (const char* part : {"64 tokens of each behind 5", "tokens/s", "% of plain read", "resident",
                           "J a token", "the dense model of this shape, f32", "state"})
    EXPECT_THAT(text.out, testing::HasSubstr(part));
}

TEST(BenchDecode, RefusesWhatCannotBe) {
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{"--model", "7b"},
                                             {"--streams", "0"},
                                             {"--tokens", "-1"},
                                             {"--prompt-tokens", "many"},
                                             {"--device", "abacus"},
                                             {"--model", "370m", "--checkpoint", "somewhere"}}) {
    const Outcome refused = decode(args);
    EXPECT_EQ(refused.exit_code, 2) << args[0];
    EXPECT_EQ(refused.out, "") << args[0];
    EXPECT_EQ(std::ranges::count(refused.err, '\n'), 1) << refused.err;
  }
}

TEST(Bench, EigenProductCountsItsFlops) {
  EigenProduct product(8, 4, 2);
  product.run();
  EXPECT_DOUBLE_EQ(product.flops(), 2.0 * 8 * 4 * 2);
}

}  // namespace
}  // namespace tern
