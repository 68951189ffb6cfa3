// Decoding on a device that has a step for whole tokens: a token ahead of the host, and back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/cpu/cpu_backend.h"
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
    SteppingBackend& on;
    const DecodeModel inside;
  };

  Model*& model_;
  CpuBackend cpu_{std::size_t(64) << 20};
  int steps_ = 0;
};

constexpr Index kVocabulary = 64;

// A small model of random weights, the same each time.
struct Loaded {
  explicit Loaded(Backend& on) : weights(on, model.parameters(), DType::f32, {}, DType::t2) {
    for (Parameter* p : model.parameters())
      weights.set(*p, [&](const Tensor& to) {
        const Rng rng(5, stream_of(p->name));
        std::vector<double> values;
        for (Index i = 0; i < p->shape.elements(); ++i)
          values.push_back(p->shape.rank() == 1 ? 1 : rng.uniform(std::uint64_t(i)) - 0.5);
        upload_real(to, values);
      });
  }
  Model model{{.vocab_size = kVocabulary, .width = 32, .layers = 2, .explicit_glu_width = 48}, {}};
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

}  // namespace
}  // namespace tern::test
