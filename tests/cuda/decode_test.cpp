// Decoding in one kernel, and in a graph of kernels, against the layers on the CPU, which are their
// oracle, and against each other.
#include <gtest/gtest.h>

#include "core/cpu/cpu_backend.h"
#include "core/rng.h"
#include "cuda/backend/device_query.h"
#include "cuda/decode/decode_step.h"
#include "layers/decode_model.h"
#include "tests/cuda/gpu.h"

namespace tern {
namespace {

using cuda::DecodeForm;

class CudaDecode : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (!IsSkipped() && !cuda::is_hopper(0)) GTEST_SKIP() << "no kernels for Hopper here";
  }
};

// Weights as functions of their names, so that two devices have the same.
double value_of(const Parameter& p, Index i) {
  const Rng rng(7, stream_of(p.name));
  const double x = rng.uniform(std::uint64_t(i)) - 0.5;
  return p.shape.rank() == 1 ? 1 + 0.4 * x : x;
}

// A model to run on this backend.
struct Loaded {
  Loaded(Backend& on, const ModelConfig& config, DType embedding, Index streams = 1)
      : model(config, {}), weights(on, model.parameters(), DType::f32, {}, DType::t2) {
    for (Parameter* p : model.parameters()) {
      std::vector<double> values;
      for (Index i = 0; i < p->shape.elements(); ++i) values.push_back(value_of(*p, i));
      if (p->name == "model.embeddings.weight" && embedding == DType::i8)
        bind_codes(on, *p, values);
      else if (p->name == "model.embeddings.weight" && embedding == DType::bf16)
        bind_halves(on, *p, values);
      else
        weights.set(*p, [&](const Tensor& to) { upload_real(to, values); });
    }
    state = model.new_state(streams);
  }

  void bind_codes(Backend& on, Parameter& p, const std::vector<double>& values) {
    std::vector<std::int8_t> q;
    for (const double x : values) q.push_back(std::int8_t(std::lround(x * 250)));
    const Quantized table{.q = Tensor(on, p.shape, DType::i8),
                          .row_scale = Tensor(on, {p.shape[0]}, DType::f32)};
    on.upload(table.q, q.data());
    upload_real(table.row_scale, std::vector<double>(std::size_t(p.shape[0]), 250));
    weights.bind(p, table);
  }
  void bind_halves(Backend& on, Parameter& p, const std::vector<double>& values) {
    const Tensor rows(on, p.shape, DType::bf16);
    upload_real(rows, values);
    weights.bind(p, rows);
  }

  Model model;
  InferenceWeights weights;
  ModelState state{};
};

ModelConfig config_of(Index width, Index layers, Index vocabulary, bool bound) {
  return {.vocab_size = vocabulary, .width = width, .layers = layers, .use_lower_bound = bound};
}

std::vector<double> step_of_layers(Loaded& on, std::int32_t id) {
  return download_real(
      on.model.logits({}, upload_ids(on.model.backend(), {1, 1}, {id}), &on.state));
}

// A code whose value lies on the edge between two may be either; the last bits of sums decide, and
// what follows differs by a little. So most tokens agree to f32, and all of them closely.
void expect_same_tokens(CudaBackend& gpu, const ModelConfig& config, DType embedding) {
  CpuBackend cpu(std::size_t(1) << 30);
  Loaded here(cpu, config, embedding), there(gpu, config, embedding);
  const auto inside = decode_model(there.model, there.state);
  ASSERT_TRUE(inside);
  const auto step = gpu.decode_step(*inside);
  ASSERT_TRUE(step);
  const Tensor logits(gpu, {config.vocab_size}, DType::f32);
  int close = 0, from = 0;
  const std::vector<std::int32_t> ids = {3, 1, 250, 77, 77, 0, 9, 100};
  for (const std::int32_t id : ids) {
    const std::vector<double> expected = step_of_layers(here, id);
    step->run(logits, upload_ids(gpu, {1}, {id}), from);
    from ^= 1;
    const double apart = distance(download_real(logits), expected);
    EXPECT_LE(apart, 0.1);
    close += apart < 1e-5;
  }
  EXPECT_GE(close, 1);
  for (std::size_t l = 0; l < here.state.size(); ++l)
    EXPECT_LE(
        distance(download_real(there.state[l].tensors[0]), download_real(here.state[l].tensors[0])),
        0.1);
}

TEST_F(CudaDecode, GivesTheLogitsOfTheLayers) {
  CudaBackend& on = gpu(std::size_t(1) << 30);
  expect_same_tokens(on, config_of(256, 3, 1000, true), DType::f32);
  expect_same_tokens(on, config_of(512, 2, 32'000, false), DType::f32);
  expect_same_tokens(on, config_of(1024, 2, 2003, true), DType::f32);
  expect_same_tokens(on, config_of(2560, 1, 501, true), DType::f32);
  // the graph's alone: fewer groups of columns than warps, the widest rows
  expect_same_tokens(on, config_of(64, 2, 301, true), DType::f32);
  expect_same_tokens(on, config_of(192, 2, 301, false), DType::f32);
  expect_same_tokens(on, config_of(5120, 1, 301, true), DType::f32);
}

TEST_F(CudaDecode, ReadsEveryFormOfTheEmbedding) {
  CudaBackend& on = gpu(std::size_t(1) << 30);
  for (const DType form : {DType::bf16, DType::i8})
    expect_same_tokens(on, config_of(256, 2, 1000, true), form);
}

TEST_F(CudaDecode, ANumberThatIsNotFiniteReachesTheLogits) {
  CudaBackend& on = gpu(std::size_t(1) << 30);
  for (const char* name :
       {"model.layers.1.attn_norm.weight", "model.layers.0.mlp.down_proj.norm.weight"}) {
    Loaded loaded(on, config_of(256, 2, 1000, true), DType::f32);
    for (Parameter* p : loaded.model.parameters())
      if (p->name == name) {
        std::vector<double> values = download_real(p->value);
        values[5] = std::numeric_limits<double>::quiet_NaN();
        upload_real(p->value, values);
      }
    const auto step = on.decode_step(*decode_model(loaded.model, loaded.state));
    const Tensor logits(on, {1000}, DType::f32);
    step->run(logits, upload_ids(on, {1}, {3}), 0);
    for (const double x : download_real(logits)) ASSERT_TRUE(std::isnan(x)) << name;
  }
}

// What it cannot do is left to the layers.
TEST_F(CudaDecode, OtherModelsHaveNone) {
  CudaBackend& on = gpu(std::size_t(1) << 30);
  Loaded narrow(on, config_of(144, 1, 100, true), DType::f32);
  EXPECT_FALSE(on.decode_step(*decode_model(narrow.model, narrow.state)));
  Loaded two(on, config_of(256, 1, 100, true), DType::f32);
  const ModelState state = two.model.new_state(2);
  EXPECT_FALSE(cuda::make_decode_step(on, *decode_model(two.model, state), DecodeForm::kernel));
  const ModelState many = two.model.new_state(257);
  EXPECT_FALSE(cuda::make_decode_step(on, *decode_model(two.model, many), DecodeForm::graph));
}

TEST_F(CudaDecode, TheSameTokensGiveTheSameBits) {
  CudaBackend& on = gpu(std::size_t(1) << 30);
  std::vector<double> first;
  for (int time = 0; time < 3; ++time) {
    Loaded loaded(on, config_of(1024, 2, 1000, true), DType::f32);
    const auto step = on.decode_step(*decode_model(loaded.model, loaded.state));
    const Tensor logits(on, {1000}, DType::f32);
    for (const std::int32_t id : {6, 7, 8, 5}) step->run(logits, upload_ids(on, {1}, {id}), id % 2);
    const std::vector<double> now = download_real(logits);
    if (first.empty()) first = now;
    EXPECT_EQ(now, first);
  }
}

// Token t of sequence s; sequences differ.
std::int32_t id_of(Index s, int t, Index vocabulary) {
  return std::int32_t((s * 31 + t * t * 7 + 3) % vocabulary);
}

struct Decoded {
  std::vector<std::vector<double>> logits{};  // of each token (B, V)
  std::vector<double> state{};                // of the last layer (B, D)
};

constexpr int kTokens = 4;  // an even number: the last state is the model's own again

// Sequences `first` and the B - 1 that follow it.
Decoded decode(CudaBackend& on, const ModelConfig& config, DType embedding, DecodeForm form,
               Index first, Index B) {
  Loaded loaded(on, config, embedding, B);
  const auto step = cuda::make_decode_step(on, *decode_model(loaded.model, loaded.state), form);
  const Tensor logits(on, {B, config.vocab_size}, DType::f32);
  Decoded out;
  for (int t = 0; t < kTokens; ++t) {
    std::vector<std::int32_t> ids;
    for (Index s = 0; s < B; ++s) ids.push_back(id_of(first + s, t, config.vocab_size));
    step->run(logits, upload_ids(on, {B}, ids), t % 2);
    out.logits.push_back(download_real(logits));
  }
  out.state = download_real(loaded.state.back().tensors[0]);
  return out;
}

std::vector<double> row_of(const std::vector<double>& values, Index row, Index rows) {
  const auto width = std::ptrdiff_t(values.size()) / rows;
  return {values.begin() + row * width, values.begin() + (row + 1) * width};
}

void expect_same_bits(const Decoded& one, const Decoded& many, Index row, Index B) {
  for (std::size_t t = 0; t < one.logits.size(); ++t)
    EXPECT_EQ(one.logits[t], row_of(many.logits[t], row, B)) << "token " << t << " of " << row;
  EXPECT_EQ(one.state, row_of(many.state, row, B)) << row;
}

TEST_F(CudaDecode, AGraphHasTheBitsOfTheKernel) {
  CudaBackend& on = gpu(std::size_t(2) << 30);
  for (const ModelConfig& config :
       {config_of(256, 3, 1000, true), config_of(512, 2, 32'000, false),
        config_of(1024, 2, 2003, true), config_of(2560, 1, 501, true)}) {
    const Decoded kernel = decode(on, config, DType::f32, DecodeForm::kernel, 5, 1);
    const Decoded graph = decode(on, config, DType::f32, DecodeForm::graph, 5, 1);
    expect_same_bits(kernel, graph, 0, 1);
  }
}

TEST_F(CudaDecode, ASequenceHasTheSameBitsAmongOthers) {
  CudaBackend& on = gpu(std::size_t(2) << 30);
  const ModelConfig config = config_of(256, 3, 1003, true);
  for (const DType embedding : {DType::f32, DType::bf16, DType::i8})
    for (const Index B : {2, 8, 9, 16, 33, 64, 256}) {
      const Decoded many = decode(on, config, embedding, DecodeForm::graph, 0, B);
      for (const Index s : {Index(0), Index(1), B / 2, B - 1})
        expect_same_bits(decode(on, config, embedding, DecodeForm::kernel, s, 1), many, s, B);
    }
}

// Blocks of the products take one to four panels.
TEST_F(CudaDecode, ASequenceHasTheSameBitsInLargeBlocks) {
  CudaBackend& on = gpu(std::size_t(2) << 30);
  for (const auto& [width, B] : {std::pair<Index, Index>{512, 256}, {1024, 256}, {2560, 64}}) {
    const ModelConfig config = config_of(width, 1, 501, true);
    const Decoded many = decode(on, config, DType::f32, DecodeForm::graph, 0, B);
    for (const Index s : {Index(0), B - 1})
      expect_same_bits(decode(on, config, DType::f32, DecodeForm::kernel, s, 1), many, s, B);
  }
}

}  // namespace
}  // namespace tern
