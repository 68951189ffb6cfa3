// Decoding on a device that has a step for whole tokens: a token ahead of the host, and back. And
// one sequence among many, which has the bits of that one alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "core/cpu/cpu_backend.h"
#include "core/dry/dry_backend.h"
#include "layers/decode_model.h"
#include "runtime/generator.h"
#include "tests/support/complaint.h"

namespace tern::test {
namespace {

// The CPU, with a step that is made of the layers.
class SteppingBackend final : public Backend {
 public:
  explicit SteppingBackend(Model*& model) : model_(model) {}
  std::string_view name() const override { return "stepping"; }
  Pool& pool() override { return cpu_.pool(); }
  void upload(const Tensor& to, const void* from) override { cpu_.upload(to, from); }
  void download(void* to, const Tensor& from) override { cpu_.download(to, from); }
  void copy(const Tensor& to, const Tensor& from) override { cpu_.copy(to, from); }
  void fill(const Tensor& to, double value) override { cpu_.fill(to, value); }
#define TERN_RUN(Kernel)                    \
  void run(const Kernel& kernel) override { \
    cpu_.run(kernel);                       \
  }
  TERN_KERNELS(TERN_RUN)
#undef TERN_RUN

  std::unique_ptr<DecodeStep> decode_step(const DecodeModel& inside) override {
    return std::make_unique<Step>(*this, inside);
  }
  int steps() const {
    return steps_;
  }

 private:
  struct Step final : DecodeStep {
    Step(SteppingBackend& backend, const DecodeModel& model) : on(backend), inside(model) {}
    void run(const Tensor& logits, const Tensor& id, int from) override {
      const Index B = id.shape()[0];
      ModelState state = on.model_->new_state(B);
      for (std::size_t l = 0; l < state.size(); ++l)
        on.copy(state[l].tensors[0], inside.layers[l].state[from]);
      std::vector<std::int32_t> tokens(static_cast<std::size_t>(B));
      on.download(tokens.data(), id);
      for (std::int32_t& token : tokens) token = std::max(token, 0);
      const Tensor read = upload_ids(on, {B, 1}, tokens);
      on.copy(logits, on.model_->next_logits({}, read, &state));
      for (std::size_t l = 0; l < state.size(); ++l)
        on.copy(inside.layers[l].state[from ^ 1], state[l].tensors[0]);
      ++on.steps_;
    }
    bool is_asynchronous() const override { return true; }
    SteppingBackend& on;
    const DecodeModel inside;
  };

  Model*& model_;
  CpuBackend cpu_{std::size_t(64) << 20};
  int steps_ = 0;
};

const ModelConfig kSmall{.vocab_size = 64, .width = 32, .layers = 2, .explicit_glu_width = 48};

// A small model of random weights, the same each time.
struct Loaded {
  explicit Loaded(Backend& on, const ModelConfig& config = kSmall)
      : model(config, {}), weights(on, model.parameters(), DType::f32, {}, DType::t2) {
    for (Parameter* p : model.parameters())
      weights.set(*p, [&](const Tensor& to) {
        const Rng rng(5, stream_of(p->name));
        std::vector<double> values;
        for (Index i = 0; i < p->shape.elements(); ++i)
          values.push_back(rng.uniform(std::uint64_t(i)) + (p->shape.rank() == 1 ? 0.5 : -0.5));
        upload_real(to, values);
      });
  }
  Model model;
  InferenceWeights weights;
};

using Ids = std::vector<std::int32_t>;
const Ids kPrompt = {3, 1, 4, 1, 5};

Ids draw(Generator& generator, int n) {
  Ids out;
  for (int i = 0; i < n; ++i) out.push_back(generator.next());
  return out;
}

struct DecodingTest : testing::Test {
  CpuBackend cpu{std::size_t(64) << 20};
  Loaded plain{cpu};
  Model* stepped = nullptr;
  SteppingBackend stepping{stepped};
  Loaded there{stepping};
  void SetUp() override { stepped = &there.model; }
};

TEST_F(DecodingTest, DrawsTheTokensOfTheLayers) {
  for (const Sampling& sampling :
       {Sampling{.temperature = 0}, Sampling{.seed = 3}, Sampling{.top_k = 7, .top_p = 0.8}}) {
    Generator layers(plain.model, sampling), steps(there.model, sampling);
    layers.read(kPrompt), steps.read(kPrompt);
    const int before = stepping.steps();
    EXPECT_EQ(draw(steps, 20), draw(layers, 20));
    EXPECT_EQ(stepping.steps() - before, 21) << "one token ahead";
  }
}

// What was computed ahead is taken back when something else is read, or the state is wanted.
TEST_F(DecodingTest, TextReadInBetweenFollowsTheLastToken) {
  Generator layers(plain.model, {}), steps(there.model, {});
  for (const Ids& part : {kPrompt, Ids{9, 9}, Ids{8}}) {
    layers.read(part), steps.read(part);
    EXPECT_EQ(draw(steps, 3), draw(layers, 3));
  }
}

TEST_F(DecodingTest, AStateGoesOnToTheSameTokens) {
  Generator whole(there.model, {.seed = 1}), first(there.model, {.seed = 1});
  whole.read(kPrompt), first.read(kPrompt);
  const Ids all = draw(whole, 12);
  Ids parts = draw(first, 5);
  const GeneratorState state = first.state();
  EXPECT_EQ(state.drawn, 5u);
  EXPECT_EQ(state.unread, parts.back());
  EXPECT_EQ(state.model[0].steps, Index(kPrompt.size()) + 4);
  Generator second(there.model, {.seed = 1});
  second.set_state(state);
  const Ids rest = draw(second, 7);
  parts.insert(parts.end(), rest.begin(), rest.end());
  EXPECT_EQ(parts, all);
}

// The token after one that cannot be drawn is computed before the host knows.
TEST_F(DecodingTest, LogitsThatAreNotFiniteAreAnErrorOnce) {
  for (Parameter* p : there.model.parameters())
    if (p->name == "lm_head.norm.weight")
      upload_real(p->value, std::vector<double>(32, std::numeric_limits<double>::infinity()));
  Generator generator(there.model, {});
  generator.read(kPrompt);
  EXPECT_THAT(complaint([&] { generator.next(); }),
              testing::HasSubstr("logit of token 0 is not finite"));
}

// --- one sequence, alone and among others, on the layers of a CPU ---

constexpr Index kStreams = 64;

struct Streams : testing::TestWithParam<ModelConfig> {
  Streams() { cpu.let_grow(); }
  CpuBackend cpu{std::size_t(64) << 20};
  Loaded loaded{cpu, GetParam()};
  Model& model = loaded.model;

  Ids random_ids(Index n, std::uint64_t seed) const {
    Ids ids;
    for (Index i = 0; i < n; ++i)
      ids.push_back(std::int32_t(Rng(seed).bits(std::uint64_t(i)) %
                                 std::uint64_t(model.config().vocab_size)));
    return ids;
  }
  // a state of one sequence behind all but the last id, read as Generator reads it
  ModelState behind(const Ids& prompt) {
    Generator generator(model, {}, Index(prompt.size()) + 20);
    generator.read(prompt);
    return generator.state().model;
  }
  // states of one sequence each, as a batch
  ModelState together(const std::vector<ModelState>& states) {
    ModelState batch = model.new_state(Index(states.size()));
    for (std::size_t s = 0; s < states.size(); ++s)
      for (std::size_t l = 0; l < batch.size(); ++l)
        for (std::size_t i = 0; i < batch[l].tensors.size(); ++i)
          cpu.copy(batch[l].tensors[i].slice(Index(s), 1), states[s][l].tensors[i]);
    return batch;
  }
  static std::vector<std::vector<double>> values(const ModelState& state) {
    std::vector<std::vector<double>> out;
    for (const LayerState& layer : state)
      for (const Tensor& t : layer.tensors) out.push_back(download_real(t));
    return out;
  }
  Tensor column(const Ids& ids) { return upload_ids(cpu, {Index(ids.size()), 1}, ids); }
};

// Sizes of whole tiles, and sizes that fill none.
INSTANTIATE_TEST_SUITE_P(
    Sizes, Streams,
    testing::Values(
        kSmall, ModelConfig{.vocab_size = 61, .width = 45, .layers = 3, .explicit_glu_width = 77},
        ModelConfig{.vocab_size = 320, .width = 272, .layers = 2, .explicit_glu_width = 528}),
    [](const auto& form) { return "Width" + std::to_string(form.param.width); });

// 64 prompts of other texts and lengths, some longer than a chunk, then 12 tokens.
TEST_P(Streams, OneAmongManyHasTheBitsOfThatOneAlone) {
  std::vector<ModelState> alone;
  Ids last;
  for (Index s = 0; s < kStreams; ++s) {
    const Ids prompt = random_ids(s % 16 == 7 ? kPromptChunk + s : 1 + s, std::uint64_t(s));
    alone.push_back(behind(prompt));
    last.push_back(prompt.back());
  }
  ModelState batch = together(alone);
  std::set<Ids> texts;
  std::vector<Ids> drawn(std::size_t(kStreams), Ids{});
  {
    Decoding decoding(model, batch, {.temperature = 0});
    Ids now = last;
    for (int i = 0; i < 12; ++i) {
      now = decoding.next(now, 0);
      for (std::size_t s = 0; s < now.size(); ++s) drawn[s].push_back(now[s]);
    }
  }
  Ids ends;
  for (const Ids& text : drawn) ends.push_back(text.back()), texts.insert(text);
  EXPECT_GT(texts.size(), 16u) << "the streams are about the same";
  const std::vector<double> logits = download_real(model.next_logits({}, column(ends), &batch));
  const Index V = model.config().vocab_size;
  for (std::size_t s = 0; s < alone.size(); ++s) {
    Ids text;
    {
      Decoding decoding(model, alone[s], {.temperature = 0});
      for (std::int32_t now = last[s]; text.size() < 12;)
        text.push_back(now = decoding.next({&now, 1}, 0)[0]);
    }
    EXPECT_EQ(drawn[s], text) << s;
    const auto row = logits.begin() + Index(s) * V;
    EXPECT_EQ(download_real(model.next_logits({}, column({text.back()}), &alone[s])),
              std::vector(row, row + V))
        << s;
    const Index at = Index(s);
    EXPECT_EQ(values(select(batch, {&at, 1})), values(alone[s])) << s;
  }
}

// Tables in f32, bf16 and int8; a negative id is read as 0.
TEST_P(Streams, AStepHasTheBitsOfTheLayers) {
  const auto embeddings = *std::ranges::find(model.parameters(), "model.embeddings.weight",
                                             [](const Parameter* p) { return p->name; });
  const auto compare = [&](Index B) {
    ModelState layers = model.new_state(B), state = model.new_state(B);
    const auto inside = decode_model(model, state);
    ASSERT_TRUE(inside);
    const auto step = cpu.decode_step(*inside);
    for (int t = 0; t < 4; ++t) {
      Ids ids = random_ids(B, 300 + std::uint64_t(t));
      ids.back() = 0;
      const Tensor expected = model.next_logits({}, column(ids), &layers);
      ids.back() = -7;
      const Tensor logits(cpu, expected.shape(), DType::f32);
      step->run(logits, column(ids), t % 2);
      EXPECT_EQ(download_real(logits), download_real(expected)) << B << " sequences, token " << t;
      for (std::size_t l = 0; l < layers.size(); ++l)
        EXPECT_EQ(download_real(inside->layers[l].state[(t + 1) % 2]),
                  download_real(layers[l].tensors[0]))
            << "layer " << l;
    }
  };
  for (const Index B : {1, 3, 17}) compare(B);
  const Tensor bf16(cpu, embeddings->shape, DType::bf16);
  upload_real(bf16, download_real(embeddings->value));
  embeddings->value = bf16;
  compare(2);
  const Index V = embeddings->shape[0], D = embeddings->shape[1];
  embeddings->table = {Tensor(cpu, {V, D}, DType::i8), Tensor(cpu, {V}, DType::f32)};
  Tensor real(cpu, {V, D}, DType::f32);
  upload_real(real, download_real(bf16));
  cpu.run(QuantizeRows{.y = embeddings->table, .x = real});
  embeddings->value = {};
  compare(2);
}

// 64 prompts read at once, in short chunks, leave the states of each read alone in long ones.
TEST_P(Streams, APromptAmongManyLeavesTheStateOfThatOneAlone) {
  constexpr Index kLength = kPromptChunk + 21, kAtOnce = kPromptChunk / kStreams;
  std::vector<Ids> prompts;
  for (Index s = 0; s < kStreams; ++s)
    prompts.push_back(random_ids(kLength, 100 + std::uint64_t(s)));
  ModelState batch = model.new_state(kStreams);
  for (Index first = 0; first < kLength; first += kAtOnce) {
    const Index n = std::min(kAtOnce, kLength - first);
    Ids ids;
    for (const Ids& prompt : prompts)
      ids.insert(ids.end(), prompt.begin() + first, prompt.begin() + first + n);
    model.advance({}, upload_ids(cpu, {kStreams, n}, ids), batch);
  }
  for (Index s = 0; s < kStreams; ++s) {
    Ids prompt = prompts[std::size_t(s)];
    prompt.push_back(0);  // not read
    EXPECT_EQ(values(select(batch, {&s, 1})), values(behind(prompt))) << s;
  }
}

// A stream leaves the others, goes on alone, and comes back.
TEST_P(Streams, OneLeavesTheOthersAndComesBack) {
  std::vector<ModelState> states;
  Ids now;
  for (Index s = 0; s < kStreams; ++s) {
    const Ids prompt = random_ids(3 + s, 200 + std::uint64_t(s));
    states.push_back(behind(prompt));
    now.push_back(prompt.back());
  }
  ModelState whole = together(states), parts = together(states);
  const auto draw_all = [&](ModelState& state, Ids from, int n) {
    Decoding decoding(model, state, {.temperature = 0});
    for (int i = 0; i < n; ++i) from = decoding.next(from, 0);
    return from;
  };
  const Ids expected = draw_all(whole, now, 15);
  Ids ids = draw_all(parts, now, 5);
  const Index mine = 37;
  Generator generator(model, {.temperature = 0});
  generator.set_state({.model = select(parts, {&mine, 1}), .unread = ids[std::size_t(mine)]});
  const Ids alone = draw(generator, 5);
  ids = draw_all(parts, ids, 5);
  EXPECT_EQ(ids[std::size_t(mine)], alone.back());
  for (std::size_t l = 0; l < parts.size(); ++l)
    cpu.copy(parts[l].tensors[0].slice(mine, 1), generator.state().model[l].tensors[0]);
  ids[std::size_t(mine)] = alone.back();
  EXPECT_EQ(draw_all(parts, ids, 5), expected);
  EXPECT_EQ(values(parts), values(whole));
}

Index chunk_on(Backend& on, const ModelConfig& config) {
  Model model(config, {});
  InferenceWeights weights(on, model.parameters(), DType::f32, {}, DType::t2);
  for (Parameter* p : model.parameters())
    if (p->shape.rank() == 1) weights.set(*p, [](const Tensor&) {});
  return prompt_chunk(model);
}

// Activations of a chunk stay small beside the weights.
TEST(Generator, AGpuReadsMoreOfAPromptAtOnceForLargeModels) {
  DryBackend gpu(DeviceTraits::h200()), cpu;
  for (const auto& [name, chunk] :
       {std::pair<const char*, Index>{"370m", 256}, {"1.3b", 256}, {"2.7b", 512}, {"13b", 1024}}) {
    EXPECT_EQ(chunk_on(gpu, named_model(name)), chunk) << name;
    EXPECT_EQ(chunk_on(cpu, named_model(name)), kPromptChunk) << name;
  }
  ModelConfig large = named_model("13b");
  large.layers = 400;
  EXPECT_EQ(chunk_on(gpu, large), 2048);
  EXPECT_EQ(chunk_on(gpu, {.vocab_size = 100, .width = 64, .layers = 1}), kPromptChunk);
}

}  // namespace
}  // namespace tern::test
