#include "layers/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <map>

#include "core/dry/dry_backend.h"
#include "core/parameter.h"
#include "tests/layers/plain_model.h"
#include "tests/layers/tiny_model.h"
#include "tests/support/complaint.h"
#include "tests/support/tolerances.h"

namespace tern {
namespace {

using testing::Each;
using testing::HasSubstr;
using Values = std::vector<double>;

constexpr std::size_t kSlab = std::size_t(32) << 20;

struct TinyModel {
  explicit TinyModel(const ModelOptions& options, const ModelConfig& config = tiny_config())
      : trained(cpu, options, config) {
    pack.initialize(1);
  }
  // of a fresh step over the batch in micro-batches
  Values gradients(const TinyBatch& batch, Index sequences) {
    pack.begin_step();
    for (Index b = 0; b < batch.B; b += sequences)
      forward_and_backward(model, batch.part(b, std::min(sequences, batch.B - b)),
                           1 / double(batch.B * batch.T));
    pack.finish_gradients();
    return download_real(pack.gradients());
  }
  CpuBackend cpu{kSlab};
  TrainableModel trained;
  Model& model = trained.model;
  ParameterPack& pack = trained.pack;
};

double largest(const Values& v) {
  double top = 0;
  for (const double e : v) top = std::max(top, std::abs(e));
  return top;
}

TEST(Model, ParametersHaveTheirHuggingFaceNamesAndShapes) {
  TinyModel tiny({});
  std::map<std::string, Shape> found;
  for (const Parameter* p : tiny.pack.parameters()) found[p->name] = p->shape;
  const Index V = 29, D = 21, L = 3, H = 35;
  std::map<std::string, Shape> want{{"model.embeddings.weight", {V, D}},
                                    {"model.lower_bounds", {L, D}},
                                    {"model.norm.weight", {D}},
                                    {"lm_head.weight", {V, D}},
                                    {"lm_head.norm.weight", {D}}};
  for (Index l = 0; l < L; ++l) {
    const std::string layer = "model.layers." + std::to_string(l) + ".";
    want[layer + "attn_norm.weight"] = want[layer + "mlp_norm.weight"] =
        want[layer + "attn.g_norm.weight"] = {D};
    for (const char* p : {"i", "f", "g", "o"}) {
      want[layer + "attn." + p + "_proj.weight"] = {D, D};
      want[layer + "attn." + p + "_proj.norm.weight"] = {D};
    }
    want[layer + "mlp.gate_proj.weight"] = {2 * H, D};
    want[layer + "mlp.gate_proj.norm.weight"] = {D};
    want[layer + "mlp.down_proj.weight"] = {D, H};
    want[layer + "mlp.down_proj.norm.weight"] = {H};
  }
  EXPECT_EQ(found, want);
  for (const Parameter* p : tiny.pack.parameters())
    EXPECT_EQ(p->weight_decay, p->name.ends_with("_proj.weight") || p->name == "lm_head.weight")
        << p->name;
}

TEST(Model, WithoutLowerBoundsTheParameterDoesNotExist) {
  ModelConfig config = tiny_config();
  config.use_lower_bound = false;
  TinyModel tiny({}, config);
  for (const Parameter* p : tiny.pack.parameters()) EXPECT_NE(p->name, "model.lower_bounds");
  EXPECT_GT(largest(tiny.gradients(tiny_batch(2, 5, 29), 2)), 0);
}

TEST(Model, WithoutOutputGate) {
  ModelConfig config = tiny_config();
  config.use_output_gate = false;
  TinyModel tiny({.dtype = DType::f64}, config);
  for (const Parameter* p : tiny.pack.parameters())
    EXPECT_EQ(p->name.find(".g_"), std::string::npos) << p->name;
  EXPECT_EQ(count_parameters(tiny_config()).total() - count_parameters(config).total(),
            config.layers * (config.width * config.width + 2 * config.width));
  const TinyBatch batch = tiny_batch(2, 7, 29);
  const PlainModel plain(tiny.model);
  const Values got =
      download_real(tiny.model.logits({}, upload_ids(tiny.cpu, {batch.B, batch.T}, batch.ids)));
  Values want;
  for (Index b = 0; b < batch.B; ++b) {
    const Values y = plain.logits(batch.part(b, 1).ids);
    want.insert(want.end(), y.begin(), y.end());
  }
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-9) << i;
  const Values kept = tiny.gradients(batch, 2);
  for (const Recompute recompute : {Recompute::norms, Recompute::cheap, Recompute::full})
    EXPECT_EQ(TinyModel({.dtype = DType::f64, .recompute = recompute}, config).gradients(batch, 2),
              kept);
  config.type = "transformer", config.explicit_heads = 1;
  EXPECT_THAT(complaint([&] { validate(config); }),
              HasSubstr("use_output_gate: expected no value"));
}

TEST(Model, RecomputingChangesNoBitOfAnyGradient) {
  const TinyBatch batch = tiny_batch(3, 10, 29);
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Quantize quantize : {Quantize::ternary, Quantize::none})
      for (const bool bounds : {true, false}) {
        ModelConfig config = tiny_config();
        config.use_lower_bound = bounds;
        config.quantize = quantize;
        const Values kept = TinyModel({.dtype = dtype}, config).gradients(batch, 2);
        for (const Recompute recompute : {Recompute::norms, Recompute::cheap, Recompute::full})
          EXPECT_EQ(TinyModel({.dtype = dtype, .recompute = recompute}, config).gradients(batch, 2),
                    kept)
              << dtype << ' ' << bounds << ' ' << int(quantize) << ' ' << int(recompute);
      }
}

TEST(Model, BitsDoNotDependOnTheNumberOfThreads) {
  const TinyBatch batch = tiny_batch(5, 33, 29);
  std::vector<Values> seen;
  for (const int threads : {1, 2, 3, 5}) {
    omp_set_num_threads(threads);
    TinyModel tiny({});
    Values all = download_real(tiny.pack.values());  // the initialisation too
    const Values g = tiny.gradients(batch, 2);
    all.insert(all.end(), g.begin(), g.end());
    seen.push_back(all);
  }
  omp_set_num_threads(omp_get_num_procs());
  EXPECT_THAT(seen, Each(seen[0]));
}

// Logits without a tape, as in validation.
Values evaluate(TinyModel& tiny, const TinyBatch& batch) {
  return download_real(tiny.model.logits({}, upload_ids(tiny.cpu, {batch.B, batch.T}, batch.ids)));
}

TEST(Model, EvaluationSeesTheGateBoundsOfTheLastUpdate) {
  const TinyBatch batch = tiny_batch(3, 8, 29);
  for (const bool evaluates_before : {true, false}) {
    TinyModel tiny({.dtype = DType::f64});
    if (evaluates_before) evaluate(tiny, batch);
    const Values old = download_real(tiny.model.gate_bounds());
    AdamWOptimizer adam(tiny.pack, {});
    train_step(tiny.model, adam, batch, 0.1, 0.1, 3);
    EXPECT_NE(download_real(tiny.model.gate_bounds()), old);
    const Values got = evaluate(tiny, batch);
    tiny.model.keep_gate_bounds();  // computed anew, of the same weights
    EXPECT_EQ(evaluate(tiny, batch), got);
  }
}

TEST(Model, KeptGateBoundsChangeNoBitAndNoGradient) {
  const TinyBatch batch = tiny_batch(3, 8, 29);
  TinyModel tiny({});
  const Values logits = evaluate(tiny, batch), gradients = tiny.gradients(batch, 3);
  tiny.model.keep_gate_bounds();
  EXPECT_EQ(evaluate(tiny, batch), logits);
  EXPECT_EQ(tiny.gradients(batch, 3), gradients);
}

TEST(Model, MicroBatchesAndTheirLastPartAddUpToTheWhole) {
  const TinyBatch batch = tiny_batch(5, 8, 29);
  TinyModel tiny({.dtype = DType::f64});
  const Values whole = tiny.gradients(batch, 5);
  for (const Index sequences : {1, 2, 3}) {  // 2 and 3 leave a partial last micro-batch
    const Values parts = tiny.gradients(batch, sequences);
    for (std::size_t i = 0; i < whole.size(); ++i)
      ASSERT_NEAR(parts[i], whole[i], tolerance::kReordered * largest(whole)) << sequences;
  }
}

TEST(Model, ASequenceInPiecesGivesTheSameBitsAsInOne) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    TinyModel tiny({.dtype = dtype});
    const Index B = 3, T = 11, V = 29;
    const TinyBatch batch = tiny_batch(B, T, V);
    const Values whole =
        download_real(tiny.model.logits({}, upload_ids(tiny.cpu, {B, T}, batch.ids)));
    ModelState state = tiny.model.new_state(B);
    Values pieces(whole.size());
    for (const auto& [from, to] : {std::pair<Index, Index>{0, 5}, {5, 6}, {6, 11}}) {
      std::vector<std::int32_t> ids;
      for (Index b = 0; b < B; ++b)
        ids.insert(ids.end(), &batch.ids[b * T + from], &batch.ids[b * T] + to);
      const Values part =
          download_real(tiny.model.logits({}, upload_ids(tiny.cpu, {B, to - from}, ids), &state));
      for (Index b = 0; b < B; ++b)
        std::copy_n(&part[b * (to - from) * V], (to - from) * V, &pieces[(b * T + from) * V]);
    }
    EXPECT_EQ(pieces, whole) << dtype;
  }
}

// The head of the last positions alone, on codes and on floats, of one sequence and of several. A
// float product of another number of rows sums in another order.
TEST(Model, NextLogitsAreTheLastRowsOfTheLogits) {
  const Index V = 29;
  for (const Quantize quantize : {Quantize::ternary, Quantize::none})
    for (const auto& [B, T] : {std::pair<Index, Index>{1, 1}, {1, 7}, {3, 1}, {3, 11}}) {
      ModelConfig config = tiny_config();
      config.quantize = quantize;
      const bool exact = quantize == Quantize::ternary;
      TinyModel tiny({.dtype = exact ? DType::f32 : DType::f64}, config);
      const TinyBatch batch = tiny_batch(B, T, V);
      const Tensor ids = upload_ids(tiny.cpu, {B, T}, batch.ids);
      ModelState state = tiny.model.new_state(B), other = tiny.model.new_state(B);
      const Values whole = download_real(tiny.model.logits({}, ids, &state));
      const Tensor next = tiny.model.next_logits({}, ids, &other);
      ASSERT_EQ(next.shape(), (Shape{B, V}));
      Values last;
      for (Index b = 0; b < B; ++b) {
        const auto row = whole.begin() + (b * T + T - 1) * V;
        last.insert(last.end(), row, row + V);
      }
      const Values got = download_real(next);
      for (std::size_t i = 0; i < last.size(); ++i)
        ASSERT_NEAR(got[i], last[i], exact ? 0 : 1e-12) << exact << ' ' << B << ' ' << T;
      EXPECT_EQ(download_real(other[1].tensors[0]), download_real(state[1].tensors[0]));
    }
  TinyModel tiny({});
  Tape tape;
  EXPECT_THAT(complaint([&] {
                tiny.model.next_logits({.tape = &tape}, upload_ids(tiny.cpu, {1, 1}, {1}));
              }),
              HasSubstr("[Model] next_logits: expected no tape"));
}

// The product of the head with one row of a chunk, not with all: that is what it is for.
TEST(Model, NextLogitsMultiplyTheHeadOnce) {
  const auto flops = [](bool next) {
    DryBackend dry;
    TrainableModel trained(dry);
    const Tensor ids(dry, {2, 8}, DType::i32);
    next ? trained.model.next_logits({}, ids) : trained.model.logits({}, ids);
    return dry.total().flops;
  };
  EXPECT_DOUBLE_EQ(flops(false) - flops(true), 2.0 * (16 - 2) * 29 * 21);
}

// Sequences 2, 0, 2 of a batch go on from copies of their states, each its own way.
TEST(Model, SelectedStatesGoOnLikeTheirSequences) {
  for (const std::string type : {"matmulfree", "transformer", "cumulative_mean"}) {
    ModelConfig config = tiny_config();
    config.type = type;
    if (type == "transformer") config.width = 20;  // even heads
    TinyModel tiny({.dtype = DType::f64}, config);
    const Index B = 3, T = 5, V = 29;
    const TinyBatch begin = tiny_batch(B, T, V), end = tiny_batch(3, 4, V, 6);
    ModelState state = tiny.model.new_state(B);
    tiny.model.advance({}, upload_ids(tiny.cpu, {B, T}, begin.ids), state);
    const std::vector<Index> order = {2, 0, 2};
    ModelState selected = select(state, order);
    const Values got =
        download_real(tiny.model.logits({}, upload_ids(tiny.cpu, {3, 4}, end.ids), &selected));
    for (std::size_t l = 0; l < state.size(); ++l) EXPECT_EQ(state[l].steps, T);
    ModelState same = tiny.model.new_state(B);  // what the selected ones did is not seen in theirs
    tiny.model.advance({}, upload_ids(tiny.cpu, {B, T}, begin.ids), same);
    for (std::size_t l = 0; l < state.size(); ++l)
      for (std::size_t i = 0; i < state[l].tensors.size(); ++i)
        EXPECT_EQ(download_real(state[l].tensors[i]), download_real(same[l].tensors[i])) << type;
    for (Index s = 0; s < 3; ++s) {
      std::vector<std::int32_t> ids(&begin.ids[std::size_t(order[std::size_t(s)] * T)],
                                    &begin.ids[std::size_t(order[std::size_t(s)] * T)] + T);
      ids.insert(ids.end(), &end.ids[std::size_t(s * 4)], &end.ids[std::size_t(s * 4)] + 4);
      const Values whole =
          download_real(tiny.model.logits({}, upload_ids(tiny.cpu, {1, T + 4}, ids)));
      for (Index i = 0; i < 4 * V; ++i)
        ASSERT_NEAR(got[std::size_t(s * 4 * V + i)], whole[std::size_t(T * V + i)], 1e-12)
            << type << ' ' << s;
    }
  }
}

TEST(Model, ScoresAreThoseOfTheLogits) {
  TinyModel tiny({.dtype = DType::f64, .loss_rows = 4});
  TinyBatch batch = tiny_batch(2, 5, 29);
  batch.targets[3] = kIgnoreIndex;
  const Tensor ids = upload_ids(tiny.cpu, {2, 5}, batch.ids);
  const Values logits = download_real(tiny.model.logits({}, ids));
  const TokenScores scores =
      tiny.model.score({}, ids, upload_ids(tiny.cpu, {2, 5}, batch.targets), nullptr);
  const Values losses = download_real(scores.losses);
  for (std::size_t n = 0; n < 10; ++n) {
    const double* row = &logits[n * 29];
    double sum = 0;
    for (int v = 0; v < 29; ++v) sum += std::exp(row[v]);
    EXPECT_NEAR(losses[n], n == 3 ? 0 : std::log(sum) - row[batch.targets[n]], 1e-12);
    EXPECT_EQ(scores.likeliest.data<std::int32_t>()[n], std::max_element(row, row + 29) - row);
  }
  EXPECT_THAT(complaint([&] {
                tiny.model.score({}, ids, upload_ids(tiny.cpu, {10}, batch.targets), nullptr);
              }),
              HasSubstr("[Model] targets: expected (2, 5), got (10) i32"));
}

std::vector<TernaryStats> counted(ParameterPack& pack) {
  pack.quantize(true);
  return pack.ternary_stats();
}

TEST(Model, WithoutQuantizationThereAreNoCodes) {
  ModelConfig config = tiny_config();
  config.quantize = Quantize::none;
  TinyModel tiny({.dtype = DType::f64}, config);
  const TinyBatch batch = tiny_batch(2, 6, 29);
  std::map<std::string, DType> seen;
  const Observer observe = [&](const std::string& name, const Tensor& t) {
    seen[name] = t.dtype();
  };
  const Tensor ids = upload_ids(tiny.cpu, {2, 6}, batch.ids);
  const Values plain = download_real(tiny.model.logits({.observe = observe}, ids));
  for (const auto& [name, dtype] : seen) EXPECT_EQ(dtype, DType::f64) << name;
  EXPECT_TRUE(seen.contains("model.layers.2.mlp.down_proj.input"));
  EXPECT_GT(largest(tiny.gradients(batch, 2)), 0);
  EXPECT_TRUE(counted(tiny.pack).empty());

  TinyModel ternary({.dtype = DType::f64});
  seen.clear();
  const Tensor same = upload_ids(ternary.cpu, {2, 6}, batch.ids);
  EXPECT_NE(download_real(ternary.model.logits({.observe = observe}, same)), plain);
  EXPECT_EQ(seen.at("model.layers.2.mlp.down_proj.input.q"), DType::i8);
  EXPECT_EQ(seen.at("lm_head.weight.q"), DType::i8);
}

// The gradient of the unquantised model by finite differences: the whole wiring at once.
TEST(Model, GradientsOfTheUnquantizedModelMatchFiniteDifferences) {
  ModelConfig config = tiny_config();
  config.quantize = Quantize::none;
  TinyModel tiny({.dtype = DType::f64}, config);
  Values at = download_real(tiny.pack.values());
  for (std::size_t i = 0; i < at.size(); ++i) at[i] += at[i] == 0 ? 0 : 0.1 * Rng(2).normal(i);
  for (Parameter* p : tiny.pack.parameters())  // zero at the start: no slope to see
    if (p->name == "model.lower_bounds") {
      Values v(std::size_t(p->shape.elements()), 0);
      for (std::size_t i = 0; i < v.size(); ++i) v[i] = Rng(3).normal(i);
      std::copy(v.begin(), v.end(),
                at.begin() + (p->value.data<double>() - tiny.pack.values().data<double>()));
    }
  const TinyBatch batch = tiny_batch(2, 4, 29);
  const auto loss_at = [&](const Values& values) {
    upload_real(tiny.pack.values(), values);
    return download_real(forward_and_backward(tiny.model, batch, 0.125))[0];
  };
  upload_real(tiny.pack.values(), at);
  const Values g = tiny.gradients(batch, 2);
  for (const Parameter* p : tiny.pack.parameters()) {
    const Index first = p->value.data<double>() - tiny.pack.values().data<double>();
    Values direction(at.size());
    double along = 0;
    for (Index i = first; i < first + p->shape.elements(); ++i)
      along += g[i] * (direction[i] = Rng(4).normal(i) / std::sqrt(double(p->shape.elements())));
    const auto moved = [&](double h) {
      Values v = at;
      for (std::size_t i = 0; i < v.size(); ++i) v[i] += h * direction[i];
      return loss_at(v);
    };
    const double h = 1e-3;
    const auto central = [&](double d) { return (moved(d) - moved(-d)) / (2 * d); };
    EXPECT_NEAR((4 * central(h / 2) - central(h)) / 3, along, tolerance::kFiniteDifference)
        << p->name;
  }
}

// What the planner relies on: a dry step tells the peak of the real one to the byte.
TEST(Model, PlannedPeakIsTheRealPeak) {
  const TinyBatch batch = tiny_batch(5, 9, 29);
  const auto train = [&](Backend& on, Recompute recompute) {
    TrainableModel trained(on, {.recompute = recompute});
    Model& model = trained.model;
    trained.pack.initialize(1);
    AdamWOptimizer adam(trained.pack, {});
    for (int step = 0; step < 3; ++step) train_step(model, adam, batch, 1e-3, 0.1, 2);
    train_step(model, adam, batch, 1e-3, 0.1, 2, true);
    trained.pack.quantize(true);
    ModelState state = model.new_state(5);
    model.logits({}, upload_ids(on, {5, 9}, batch.ids), &state);
    return on.pool().high_water();
  };
  for (const Recompute recompute :
       {Recompute::none, Recompute::norms, Recompute::cheap, Recompute::full}) {
    DryBackend dry;
    const std::size_t planned = train(dry, recompute);
    CpuBackend exact(planned);  // not one byte more
    EXPECT_EQ(train(exact, recompute), planned);
    EXPECT_EQ(exact.pool().used(), 0u);
    CpuBackend smaller(planned - 256);
    try {
      train(smaller, recompute);
      ADD_FAILURE() << "expected out of memory";
    } catch (const Error& e) {
      EXPECT_EQ(e.fault, Fault::memory);
    }
  }
}

TEST(Model, StatsCountZerosAndFlipsOfEveryTernaryMatrix) {
  TinyModel tiny({.dtype = DType::f64});
  EXPECT_EQ(counted(tiny.pack).size(), 3u * 6 + 1);
  for (const TernaryStats& s : counted(tiny.pack)) {  // nothing changed since
    EXPECT_EQ(s.flip_rate, 0) << s.name;
    EXPECT_GT(s.zero_share, 0.1) << s.name;
    EXPECT_LT(s.zero_share, 0.6) << s.name;
  }
  for (Parameter* p : tiny.pack.parameters()) {
    if (p->name != "model.layers.1.attn.g_proj.weight") continue;
    Values w = download_real(p->value);
    for (double& e : w) e = -e;
    upload_real(p->value, w);
  }
  for (const TernaryStats& s : counted(tiny.pack)) {
    const bool changed = s.name == "model.layers.1.attn.g_proj";
    EXPECT_EQ(s.flip_rate, changed ? 1 - s.zero_share : 0) << s.name;
  }
}

// The same numbers from codes alone, of a byte or of two bits, as from the weights that they were
// made of.
TEST(Model, RunsOnWeightsForInference) {
  const TinyBatch batch = tiny_batch(2, 7, 29);
  for (const auto& [dtype, quantize, codes] : {std::tuple{DType::f32, Quantize::ternary, DType::i8},
                                               std::tuple{DType::f64, Quantize::ternary, DType::i8},
                                               std::tuple{DType::f32, Quantize::ternary, DType::t2},
                                               std::tuple{DType::f64, Quantize::ternary, DType::t2},
                                               std::tuple{DType::f32, Quantize::none, DType::i8},
                                               std::tuple{DType::f64, Quantize::none, DType::i8}}) {
    ModelConfig config = tiny_config();
    config.quantize = quantize;
    TinyModel trained({.dtype = dtype}, config);
    CpuBackend cpu(kSlab);
    Model model(config, {.dtype = dtype});
    InferenceWeights weights(cpu, model.parameters(), dtype, {}, codes);
    for (std::size_t i = 0; i < model.parameters().size(); ++i)
      weights.set(*model.parameters()[i], [&](const Tensor& values) {
        upload_real(values, download_real(trained.model.parameters()[i]->value));
      });
    EXPECT_EQ(download_real(model.logits({}, upload_ids(cpu, {2, 7}, batch.ids))),
              download_real(trained.model.logits({}, upload_ids(trained.cpu, {2, 7}, batch.ids))))
        << dtype << ' ' << int(quantize) << ' ' << codes;
    for (const Parameter* p : model.parameters()) {
      EXPECT_EQ(bool(p->value), !p->ternary) << p->name;  // no latent weights
      EXPECT_FALSE(p->grad.tensor) << p->name;
      EXPECT_TRUE(!p->ternary || p->copy.t.dtype() == codes) << p->name;
    }
    if (quantize == Quantize::ternary && dtype == DType::f32) {  // a byte a weight, not eight
      EXPECT_LT(cpu.pool().used(), trained.cpu.pool().used() / 4);
    }
  }
}

// A model whose weights lie in memory of others: tiles, and an embedding in few bits, which gives
// the numbers of the same values in f32.
TEST(Model, RunsOnBorrowedMemory) {
  const TinyBatch batch = tiny_batch(2, 7, 29);
  CpuBackend cpu(kSlab);
  Model first(tiny_config(), {}), second(tiny_config(), {});
  InferenceWeights own(cpu, first.parameters(), DType::f32, {}, DType::t2),
      borrowed(cpu, second.parameters());
  const auto borrow = [&](const Tensor& t) {
    return Tensor::borrow(cpu, t.shape(), t.dtype(), t.raw());
  };
  const auto logits = [&](Model& model) {
    return download_real(model.logits({}, upload_ids(cpu, {2, 7}, batch.ids)));
  };
  for (std::size_t i = 0; i < first.parameters().size(); ++i) {
    Parameter &p = *first.parameters()[i], &q = *second.parameters()[i];
    own.set(p, [&](const Tensor& values) {
      Values x(std::size_t(values.elements()));
      for (std::size_t k = 0; k < x.size(); ++k) x[k] = Rng(i + 1).normal(k);
      upload_real(values, x);
    });
    if (p.ternary)
      borrowed.bind(q, TernaryWeight{.t = borrow(p.copy.t), .scale = borrow(p.copy.scale)});
    else
      borrowed.bind(q, borrow(p.value));
  }
  EXPECT_EQ(logits(second), logits(first));
  Parameter &table = *first.parameters()[0], &few_bits = *second.parameters()[0];
  const Values values = download_real(table.value);
  const Tensor half(cpu, table.shape, DType::bf16);
  upload_real(half, values);
  borrowed.bind(few_bits, half);
  EXPECT_NE(logits(second), logits(first));
  upload_real(table.value, download_real(half));
  EXPECT_EQ(logits(second), logits(first));

  const Quantized rows{.q = Tensor(cpu, table.shape, DType::i8),
                       .row_scale = Tensor(cpu, {table.shape[0]}, DType::f32)};
  cpu.run(QuantizeRows{.y = rows, .x = table.value});
  borrowed.bind(few_bits, rows);
  EXPECT_NE(logits(second), logits(first));
  cpu.run(Dequantize{.x = table.value, .y = rows});
  EXPECT_EQ(logits(second), logits(first));

  Parameter &norm = *second.parameters()[2], &matrix = *second.parameters()[3];
  ASSERT_TRUE(!norm.ternary && matrix.ternary) << norm.name << ", " << matrix.name;
  EXPECT_THAT(complaint([&] { borrowed.bind(norm, Tensor(cpu, norm.shape, DType::bf16)); }),
              HasSubstr(norm.name + ": expected values (21) f32, got (21) bf16"));
  EXPECT_THAT(complaint([&] { borrowed.bind(matrix, matrix.copy.t); }),
              HasSubstr(matrix.name + ": expected values"));
  EXPECT_THAT(complaint([&] { borrowed.bind(norm, matrix.copy); }),
              HasSubstr(norm.name + ": expected codes (21) and a scale f32"));
  EXPECT_THAT(complaint([&] { borrowed.bind(norm, rows); }),
              HasSubstr(norm.name + ": expected int8 rows (21) of an embedding and f32 scales"));
}

TEST(Model, IdsOfTheWrongRankOrWithoutTokensAreNamed) {
  TinyModel tiny({});
  EXPECT_THAT(complaint([&] {
                tiny.model.logits({}, upload_ids(tiny.cpu, {3}, {1, 2, 3}));
              }),
              HasSubstr("[Model] ids (B, T): expected rank 2, got (3) i32"));
  EXPECT_THAT(complaint([&] {
                tiny.model.logits({}, upload_ids(tiny.cpu, {2, 0}, {}));
              }),
              HasSubstr("[Model] ids (B, T): expected no empty dimension, got (2, 0) i32"));
}

}  // namespace
}  // namespace tern
