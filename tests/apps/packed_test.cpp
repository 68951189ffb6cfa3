// Models to packed files and back: the same codes, the same scales, the same numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "apps/bench/decode.h"
#include "apps/run/open_model.h"
#include "core/backend.h"
#include "core/bfloat16.h"
#include "core/cpu/cpu_backend.h"
#include "core/ternary_tiles.h"
#include "runtime/huggingface.h"
#include "runtime/packed_model.h"
#include "tests/apps/model_comparison.h"
#include "tests/apps/tiny_run.h"

namespace tern::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

Outcome tern(std::vector<std::string> args) {
  args.insert(args.begin(), sibling_program("tern"));
  return run({.args = args, .env = {{"OMP_NUM_THREADS", "1"}}});
}

std::string succeed(const std::vector<std::string>& args) {
  const Outcome outcome = tern(args);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return outcome.out;
}

const std::vector<std::int32_t> kIds = {1, 17, 300, 5, 5, 319, 2};

void use(Model& model) {
  model.logits({}, upload_ids(model.backend(), {1, Index(kIds.size())}, kIds));
}

LoadedModel load(const SavedModel& saved) {
  return load_model(saved, Device("cpu"), use);
}

std::vector<double> logits(const LoadedModel& loaded) {
  Model& model = *loaded.model;
  return download_real(
      model.logits({}, upload_ids(model.backend(), {1, Index(kIds.size())}, kIds)));
}

std::vector<std::int8_t> codes_of(const Parameter& p) {
  EXPECT_EQ(p.copy.t.dtype(), DType::t2) << p.name;
  std::vector<std::int8_t> codes(std::size_t(p.shape.elements()));
  unpack_tiles(codes.data(), p.copy.t.data<TernaryTile>(), 0, p.shape[0], p.shape[1]);
  return codes;
}

// One run for each family, made on first use.
struct Runs {
  TinyRun run;
  std::map<std::string, std::string> checkpoints;
};

class Packed : public testing::Test {
 protected:
  static void SetUpTestSuite() { runs_ = new Runs; }
  static void TearDownTestSuite() { delete runs_; }

  // The checkpoint of a short training with these overrides.
  static std::string checkpoint(const std::vector<std::string>& overrides = {}, int steps = 3) {
    std::string name = steps == 3 ? "r" : "r" + std::to_string(steps);
    for (const std::string& o : overrides) name += '-' + o.substr(o.find('.') + 1);
    std::ranges::replace(name, '=', '-');
    std::string& at = runs_->checkpoints[name];
    if (!at.empty()) return at;
    std::vector<std::string> all = {"run.steps=" + std::to_string(steps)};
    all.insert(all.end(), overrides.begin(), overrides.end());
    const Outcome outcome = ::tern::run(runs_->run.command(name, all));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return at = runs_->run.checkpoint(name, steps).string();
  }

  std::string pack(const std::string& from, StoredType embedding = StoredType::f32) const {
    const std::string to = room_ / "model.packed.safetensors";
    export_packed(open_model(from), to, {.embedding = embedding, .version = "test"});
    return to;
  }

  static Runs* runs_;
  TemporaryDirectory room_;
};
Runs* Packed::runs_ = nullptr;

struct PackedFamilyForm {
  std::string name;
  std::vector<std::string> overrides;
};

class PackedFamily : public Packed, public testing::WithParamInterface<PackedFamilyForm> {};

// The sizes are no multiples of a tile.
INSTANTIATE_TEST_SUITE_P(
    Families, PackedFamily,
    testing::Values(PackedFamilyForm{"matmulfree",
                                     {"model.hidden_size=24", "model.intermediate_size=40"}},
                    PackedFamilyForm{"odd", {"model.hidden_size=21", "model.intermediate_size=35"}},
                    PackedFamilyForm{"no_lower_bound", {"model.use_lower_bound=false"}},
                    PackedFamilyForm{"transformer",
                                     {"model.type=transformer", "model.hidden_size=20",
                                      "model.num_attention_heads=2", "model.intermediate_size=36"}},
                    PackedFamilyForm{"ternary_attention",
                                     {"model.type=transformer", "model.attention=ternary"}}),
    [](const auto& form) { return form.param.name; });

TEST_P(PackedFamily, LogitsAreTheCheckpointsBitForBit) {
  const std::string from = checkpoint(GetParam().overrides);
  const SavedModel packed = open_model(pack(from));
  const LoadedModel ours = load(packed), theirs = load(open_model(from));
  EXPECT_EQ(logits(ours), logits(theirs));
  ModelConfig expected_config = open_model(from).config.model;
  if (expected_config.type == "transformer")
    expected_config.explicit_heads = expected_config.heads();
  EXPECT_EQ(packed.config.model, expected_config);
  EXPECT_EQ(packed.config.batch.context, 16);
  std::size_t matrices = 0;
  for (std::size_t i = 0; i < ours.model->parameters().size(); ++i) {
    const Parameter &p = *ours.model->parameters()[i], &q = *theirs.model->parameters()[i];
    if (!p.ternary) continue;
    ++matrices;
    const std::vector<std::int8_t> codes = codes_of(p);
    EXPECT_EQ(codes, codes_of(q)) << p.name;
    EXPECT_EQ(*p.copy.scale.data<float>(), *q.copy.scale.data<float>()) << p.name;
    // what a ternary matrix itself would say is another number
    double sum = 0;
    for (const std::int8_t code : codes) sum += std::abs(code);
    EXPECT_GT(std::abs(sum / double(codes.size()) - 1), 0.05) << p.name;
  }
  EXPECT_GT(matrices, 0u);
}

// Two bits a weight in memory too, and the numbers of a byte a weight.
TEST_P(PackedFamily, ACheckpointIsHeldAtTwoBitsOnACpu) {
  const SavedModel saved = open_model(checkpoint(GetParam().overrides));
  const LoadedModel loaded = load(saved);
  CpuBackend cpu(std::size_t(32) << 20);
  Model model(saved.config.model, {});
  InferenceWeights bytes(cpu, model.parameters(), DType::f32, {}, DType::i8);
  load_weights(saved.weights, bytes);
  for (std::size_t i = 0; i < model.parameters().size(); ++i) {
    const Parameter &p = *loaded.model->parameters()[i], &q = *model.parameters()[i];
    if (!p.ternary) continue;
    const std::int8_t* const expected = q.copy.t.data<std::int8_t>();
    EXPECT_EQ(codes_of(p), std::vector(expected, expected + q.shape.elements())) << p.name;
  }
  EXPECT_EQ(logits(loaded),
            download_real(model.logits({}, upload_ids(cpu, {1, Index(kIds.size())}, kIds))));
}

// --- beside the forward pass of training ---

// One forward pass, as observed. Codes and tiles as their bytes, real tensors as numbers.
struct Observed {
  std::map<std::string, std::vector<std::int8_t>> codes{};
  std::map<std::string, std::vector<double>> reals{};
  std::vector<double> logits{};
};

struct TokenBatch {
  Index B, T;
  std::vector<std::int32_t> ids() const {
    std::vector<std::int32_t> out;
    for (Index i = 0; i < B * T; ++i)
      out.push_back(std::int32_t(Rng(9).bits(std::uint64_t(i)) % 320));
    return out;
  }
};

// The input of a BitLinear: its codes, or their scales.
bool is_quantized_input(const std::string& name) {
  return name.ends_with(".input.q") || name.ends_with(".input.scale");
}

// replay: inputs of BitLinears are overwritten with that run's, after they are noted.
Observed forward(Model& model, const TokenBatch& batch, Tape* tape,
                 const Observed* replay = nullptr) {
  Observed seen;
  const auto observe = [&](const std::string& name, const Tensor& t) {
    if (t.dtype() == DType::i8) {
      std::vector<std::int8_t>& codes = seen.codes[name];
      codes.resize(std::size_t(t.elements()));
      t.backend().download(codes.data(), t);
    } else if (t.dtype() == DType::f32) {
      seen.reals[name] = download_real(t);
    }
    if (!replay || !is_quantized_input(name)) return;
    if (t.dtype() == DType::i8)
      t.backend().upload(t, replay->codes.at(name).data());
    else
      upload_real(t, replay->reals.at(name));
  };
  seen.logits =
      download_real(model.logits({.tape = tape, .observe = observe},
                                 upload_ids(model.backend(), {batch.B, batch.T}, batch.ids())));
  return seen;
}

// q . t by the backend's own product: with scales of 1 its result is the integer sum.
std::vector<double> sums_of(Backend& on, const std::vector<std::int8_t>& codes, const Tensor& t) {
  const Index O = t.shape()[0], I = t.shape()[1], N = Index(codes.size()) / I;
  const Tensor q(on, {N, I}, DType::i8), ones(on, {N}, DType::f32), one(on, {1}, DType::f32),
      y(on, {N, O}, DType::f32);
  on.upload(q, codes.data());
  on.fill(ones, 1), on.fill(one, 1);
  on.run(TernaryProduct{.y = y, .x = {.q = q, .row_scale = ones}, .w = {.t = t, .scale = one}});
  return download_real(y);
}

// The same in a plain loop.
std::vector<double> plain_sums(const std::vector<std::int8_t>& q, const std::vector<std::int8_t>& t,
                               Index O, Index I) {
  const Index N = Index(q.size()) / I;
  std::vector<double> out;
  for (Index n = 0; n < N; ++n)
    for (Index o = 0; o < O; ++o) {
      std::int64_t sum = 0;
      for (Index i = 0; i < I; ++i) sum += q[std::size_t(n * I + i)] * t[std::size_t(o * I + i)];
      out.push_back(double(sum));
    }
  return out;
}

// y = sum / (row_scale * scale), as TernaryProduct defines it
std::vector<double> products_of(const std::vector<double>& sums, const std::vector<double>& rows,
                                float scale) {
  const std::size_t O = sums.size() / rows.size();
  std::vector<double> out;
  for (std::size_t i = 0; i < sums.size(); ++i)
    out.push_back(double(float(sums[i]) / (float(rows[i / O]) * scale)));
  return out;
}

// rows of a product: fewer than a tile, one tile, more, and no multiple of any
const std::vector<TokenBatch> kBatches = {{1, 1}, {1, 7}, {2, 4}, {3, 5}, {1, 33}};

// The forward pass of training quantises latent weights itself and multiplies codes of a byte; a
// packed model reads two bits. Every integer sum and every logit is the same.
TEST_P(PackedFamily, IntegerSumsAndLogitsAreThoseOfTraining) {
  const std::string from = checkpoint(GetParam().overrides);
  TrainedForm trained(open_model(from));
  const LoadedModel loaded = load(open_model(pack(from)));
  for (const TokenBatch& batch : kBatches) {
    Tape tape;
    const Observed expected = forward(trained.model, batch, &tape),
                   got = forward(*loaded.model, batch, nullptr);
    EXPECT_EQ(got.logits, expected.logits);
    std::size_t matrices = 0;
    for (std::size_t i = 0; i < loaded.model->parameters().size(); ++i) {
      const Parameter &p = *loaded.model->parameters()[i], &q = *trained.model.parameters()[i];
      if (!p.ternary) continue;
      ++matrices;
      ASSERT_EQ(q.copy.t.dtype(), DType::i8) << q.name;
      const std::string layer = p.name.substr(0, p.name.rfind(".weight"));
      const std::vector<std::int8_t>& codes = expected.codes.at(layer + ".input.q");
      EXPECT_EQ(got.codes.at(layer + ".input.q"), codes) << layer;
      const std::vector<double> sums = sums_of(*trained.cpu, codes, q.copy.t);
      EXPECT_EQ(sums_of(*loaded.backend, codes, p.copy.t), sums) << layer;
      EXPECT_EQ(plain_sums(codes, codes_of(p), p.shape[0], p.shape[1]), sums) << layer;
      const std::vector<double>& rows = expected.reals.at(layer + ".input.scale");
      const std::vector<double> y = products_of(sums, rows, *p.copy.scale.data<float>());
      EXPECT_EQ(expected.reals.at(layer + ".output"), y) << layer;
      EXPECT_EQ(got.reals.at(layer + ".output"), y) << layer;
    }
    EXPECT_GT(matrices, 10u);
  }
}

// A rounded embedding changes what is quantised, and nothing else: with the codes of training in
// the place of its own, the packed model has training's products and logits.
TEST_P(PackedFamily, WithCodesReplayedARoundedEmbeddingChangesNoProduct) {
  const std::string from = checkpoint(GetParam().overrides);
  TrainedForm trained(open_model(from));
  const TokenBatch batch{3, 5};
  const Observed expected = forward(trained.model, batch, nullptr);
  for (const StoredType embedding : {StoredType::bf16, StoredType::i8}) {
    const LoadedModel loaded = load(open_model(pack(from, embedding)));
    const Observed free = forward(*loaded.model, batch, nullptr),
                   got = forward(*loaded.model, batch, nullptr, &expected);
    EXPECT_NE(free.logits, expected.logits) << "nothing was rounded";
    std::size_t outputs = 0;
    for (const auto& [name, y] : expected.reals) {
      if (!name.ends_with("_proj.output") && name != "lm_head.output") continue;
      ++outputs;
      EXPECT_EQ(got.reals.at(name), y) << name;
    }
    EXPECT_GT(outputs, 10u);
    EXPECT_EQ(got.logits, expected.logits);
  }
}

TEST_F(Packed, ACpuComputesInTheMapping) {
  const SavedModel packed = open_model(pack(checkpoint()));
  const LoadedModel loaded = load(packed);
  for (const Parameter* p : loaded.model->parameters()) {
    const MappedWeights::Weight& weight = packed.mapped->weights.at(p->name);
    EXPECT_EQ(p->ternary ? p->copy.t.raw() : p->value.raw(), weight.data) << p->name;
    if (!p->ternary) continue;
    EXPECT_EQ(p->copy.scale.raw(), weight.scale) << p->name;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(weight.data) % 64, 0u) << p->name;
  }
  const auto copied = [](const LoadedModel& of) {  // bytes in the pool but for the kept bounds
    const std::size_t bounds = of.model->gate_bounds().bytes();
    return of.backend->pool().used() - (bounds + 255) / 256 * 256;
  };
  EXPECT_EQ(copied(loaded), 0u);
  for (const StoredType embedding : {StoredType::bf16, StoredType::i8})
    EXPECT_EQ(copied(load(open_model(pack(checkpoint(), embedding)))), 0u);
}

// A line of /proc/PID/status in bytes: "VmHWM", what was resident at most; "RssAnon", what is no
// page of a file.
double memory_of(pid_t process, const std::string& what) {
  const std::string status = read_text("/proc/" + std::to_string(process) + "/status");
  const std::size_t at = status.find('\n' + what + ':');
  if (at == status.npos) return -1;
  return std::stod(status.substr(at + what.size() + 2)) * 1024;
}

// The pages of the file, and the program, activations and states beside it: 10 % of the file and
// 40 MB. A second copy of the weights would break it.
TEST_F(Packed, AProcessTakesTheFileAndLittleMore) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer takes memory of its own";
#endif
  ModelConfig config{.vocab_size = 320, .width = 1536, .layers = 8, .explicit_glu_width = 4096};
  config.quantize = Quantize::none;  // random_model() has latent weights for these alone
  SavedModel saved = random_model(config);
  saved.config.model.quantize = Quantize::ternary;
  set_tokenizer(saved, *open_model(checkpoint()).tokenizer);
  const std::string file = room_ / "m.safetensors";
  const double bytes = double(export_packed(saved, file, {.version = "test"}));
  ASSERT_GT(bytes, 55e6);
  const std::string prompt = read_text("configs/demo/tinyshakespeare.txt").substr(0, 1500);
  std::vector<std::string> args = {
      "generate", "--checkpoint", file, "--prompt", prompt, "--temperature", "0", "-n", "3"};
  const std::string text = succeed(args);
  args.back() = "1000000";
  args.insert(args.begin(), sibling_program("tern"));
  Process generate({.args = args, .env = {{"OMP_NUM_THREADS", "2"}}});
  ASSERT_TRUE(generate.wait_for(text.substr(0, text.size() - 1)));
  const double most = memory_of(generate.id(), "VmHWM"), own = memory_of(generate.id(), "RssAnon");
  EXPECT_GT(most, bytes) << "every byte was read to be hashed";
  EXPECT_LT(most, 1.1 * bytes + 40e6);
  EXPECT_LT(own, 0.1 * bytes + 40e6);
}

TEST_F(Packed, WeightsOutliveWhatOpenedThemAndAReplacedFile) {
  const std::string path = pack(checkpoint());
  const LoadedModel loaded = load(open_model(path));
  const std::vector<double> before = logits(loaded);
  write_file_atomically(path, "something else");
  EXPECT_EQ(logits(loaded), before);
}

TEST_F(Packed, TheEmbeddingMayBeSmaller) {
  const LoadedModel exact = load(open_model(pack(checkpoint())));
  const auto table = [](const LoadedModel& loaded) {
    const Parameter& p = *loaded.model->parameters()[0];
    if (!p.table.q) return download_real(p.value);
    const Tensor real(*loaded.backend, p.shape, DType::f32);
    loaded.backend->run(Dequantize{.x = real, .y = p.table});
    return download_real(real);
  };
  const std::vector<double> f32 = table(exact);
  const Index D = 16;
  const std::vector<double> bf16 = table(load(open_model(pack(checkpoint(), StoredType::bf16))));
  const std::vector<double> int8 = table(load(open_model(pack(checkpoint(), StoredType::i8))));
  ASSERT_EQ(bf16.size(), f32.size());
  ASSERT_EQ(int8.size(), f32.size());
  for (std::size_t i = 0; i < f32.size(); ++i)
    ASSERT_EQ(float(bf16[i]), to_real(to_stored<BFloat16>(float(f32[i])))) << i;
  for (std::size_t row = 0; row < f32.size(); row += D) {
    float most = 0;
    for (Index i = 0; i < D; ++i) most = std::max(most, std::abs(float(f32[row + i])));
    const float scale = 127.0f / most;
    for (std::size_t i = row; i < row + D; ++i)
      ASSERT_EQ(float(int8[i]), std::nearbyint(float(f32[i]) * scale) / scale) << i;
  }
}

// Free running, with its own codes: what a rounded embedding does to the loss. A model that has
// learned something, on all of the validation text.
TEST_F(Packed, ARoundedEmbeddingKeepsTheLoss) {
  constexpr double kBound = 0.002;  // nats
  const std::string from = checkpoint({}, 300);
  const auto corpus = std::make_shared<Corpus>(Corpus::open_held_out(tiny_corpus()));
  TrainedForm trained(open_model(from));
  const Index context = 16;
  const TextScores expected = scores_in_parallel(trained.model, corpus, context);
  ASSERT_GT(expected.losses.size(), 2000u);
  EXPECT_LT(expected.mean_loss(), 5.2) << "of log(320) = 5.77: it has learned nothing";
  for (const StoredType embedding : {StoredType::f32, StoredType::bf16, StoredType::i8}) {
    const LoadedModel loaded = load(open_model(pack(from, embedding)));
    const TextScores got = scores_in_parallel(*loaded.model, corpus, context),
                     by_token = scores_by_token(*loaded.model, corpus, context);
    const double difference = got.mean_loss() - expected.mean_loss();
    RecordProperty("difference", std::to_string(difference));
    RecordProperty("flips", std::to_string(flips(got, expected)));
    EXPECT_LT(std::abs(difference), kBound) << int(embedding);
    EXPECT_LT(flips(got, expected), Index(expected.losses.size()) / 50) << int(embedding);
    EXPECT_EQ(by_token.losses, got.losses) << "token by token";
    EXPECT_EQ(by_token.likeliest, got.likeliest);
    if (embedding == StoredType::f32)
      EXPECT_EQ(got.losses, expected.losses);
    else
      EXPECT_NE(got.losses, expected.losses) << "nothing was rounded";
  }
}

TEST_F(Packed, DoublePrecisionIsRoundedAndThatIsSaid) {
  const std::string from = checkpoint({"precision.dtype=f64"}), to = room_ / "m.safetensors";
  EXPECT_THAT(succeed({"export", "--to", "packed", "--checkpoint", from, "--out", to}),
              HasSubstr("holds f64: scales and norms are rounded to f32"));
  const LoadedModel ours = load(open_model(to)), theirs = load(open_model(from));
  for (std::size_t i = 0; i < ours.model->parameters().size(); ++i) {
    const Parameter &p = *ours.model->parameters()[i], &q = *theirs.model->parameters()[i];
    if (!p.ternary) continue;
    EXPECT_EQ(*p.copy.scale.data<float>(), float(*q.copy.scale.data<double>())) << p.name;
  }
}

TEST_F(Packed, DoublesAreComputedFromTheSameCodes) {
  SavedModel packed = open_model(pack(checkpoint())), original = open_model(checkpoint());
  packed.config.dtype = Precision::f64;
  const LoadedModel wide = load(packed);
  for (const Parameter* p : wide.model->parameters()) {
    if (!p->ternary) continue;
    EXPECT_EQ(p->copy.scale.dtype(), DType::f64);
  }
  const std::vector<double> a = logits(wide), b = logits(load(original));
  double difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference = std::max(difference, std::abs(a[i] - b[i]));
  EXPECT_LT(difference, 0.1);  // single rounding decisions
  EXPECT_GT(difference, 0);
}

TEST_F(Packed, CommandsTakeTheFile) {
  const std::string from = checkpoint(), file = pack(from);
  const auto of = [&](const std::string& model, std::vector<std::string> args) {
    args.insert(args.begin() + 1, {"--checkpoint", model});
    const std::string out = succeed(args);
    return out.substr(args[0] == "eval" ? out.find('\n') : 0);  // the first line names the model
  };
  write_text(
      room_ / "words.jsonl",
      R"({"id": 0, "contexts": ["O Romeo, Romeo, wherefore art"], "continuations": [" thou"]})"
      "\n");
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"eval", "--data", tiny_corpus().string()},
        {"eval", "--tasks", "words", "--task-dir", room_.path().string(), "--log-samples",
         room_ / "samples.jsonl"},
        {"generate", "--prompt", "ROMEO:", "-n", "30", "--seed", "3"}}) {
    const std::string expected = of(from, command);
    EXPECT_FALSE(expected.empty());
    const std::string got = of(file, command);
    const std::size_t seconds = expected.find("precision");  // and how long it took
    EXPECT_EQ(got.substr(0, seconds), expected.substr(0, seconds));
  }
  for (const std::string& model : {from, file})
    succeed({"trace", "--checkpoint", model, "--text", "ROMEO:", "--out",
             room_ / (model == file ? "a" : "b")});
  std::size_t arrays = 0;
  for (const auto& entry : fs::directory_iterator(room_ / "a")) {
    ++arrays;
    EXPECT_EQ(read_text(entry.path()), read_text(fs::path(room_ / "b") / entry.path().filename()))
        << entry.path();
  }
  EXPECT_GT(arrays, 50u);
}

TEST_F(Packed, InspectShowsWhatItIs) {
  const std::string file = pack(checkpoint(), StoredType::i8);
  EXPECT_THAT(
      succeed({"inspect", file}),
      AllOf(HasSubstr("matmulfree, D 16, L 2, H 32, V 320"), HasSubstr("320 pieces, hash"),
            HasSubstr("step        3\n"), HasSubstr("tokens      192\n"),
            HasSubstr("written by  tern test\n"), HasSubstr("codes at 2 bits"),
            HasSubstr("good: every byte matches its hash"), Not(HasSubstr("lm_head.weight"))));
  EXPECT_THAT(succeed({"inspect", file, "--verify", "--all"}),
              AllOf(HasSubstr("every code and number is one"), HasSubstr("lm_head.weight_scale"),
                    HasSubstr("(20, 1, 64)"), HasSubstr("tokenizer")));
}

TEST_F(Packed, NothingThatNeedsLatentWeightsTakesIt) {
  const std::string file = pack(checkpoint());
  const auto refused = [](const Outcome& outcome, const char* text) {
    EXPECT_EQ(outcome.exit_code, 3) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(text));
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  };
  const std::string out = room_ / "out";
  refused(tern({"export", "--to", "hf", "--checkpoint", file, "--out", out}), "latent weights");
  refused(tern({"export", "--to", "packed", "--checkpoint", file, "--out", out + ".safetensors"}),
          "latent weights");
  refused(tern({"import", "--from", file, "--out", out}), "expected a Hugging Face folder");
  checkpoint();
  refused(run(runs_->run.command("r", {"run.steps=6"}, {"--resume", file})), "latent weights");
  refused(run(runs_->run.command("new", {"init_from.path=" + file})), "init_from.path: ");
  EXPECT_FALSE(fs::exists(runs_->run.directory("new")));
  EXPECT_FALSE(fs::exists(out) || fs::exists(out + ".safetensors"));
}

TEST_F(Packed, ModelsThatHaveNoFormAreRefused) {
  const std::string to = room_ / "m.safetensors";
  const auto refused = [&](const std::string& from, const std::string& out, const char* text) {
    const Outcome outcome = tern({"export", "--to", "packed", "--checkpoint", from, "--out", out});
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.err, HasSubstr(text));
    EXPECT_FALSE(fs::exists(to) || fs::exists(to + ".tmp"));
  };
  refused(checkpoint({"model.quantize=none"}), to, "expected a ternary model");
  refused(checkpoint({"model.type=cumulative_mean"}), to, "cumulative_mean");
  refused(checkpoint(), room_ / "m.bin", "ends in .safetensors");
  EXPECT_EQ(tern({"export", "--to", "packed", "--checkpoint", checkpoint(), "--out", to, "--dtype",
                  "f32"})
                .exit_code,
            2);
  EXPECT_EQ(tern({"export", "--to", "hf", "--checkpoint", checkpoint(), "--out", room_ / "folder",
                  "--embedding", "f32"})
                .exit_code,
            2);
}

TEST_F(Packed, AnEarlierFileIsReplacedWhenTheNewOneIsWhole) {
  const std::string from = checkpoint(), to = pack(from, StoredType::i8), before = read_text(to);
  const std::string damaged = room_ / "damaged";
  fs::copy(from, damaged, fs::copy_options::recursive);
  for (const auto& entry : fs::directory_iterator(damaged))
    if (entry.path().extension() == ".h5") {
      std::string bytes = read_text(entry.path());
      bytes[bytes.size() / 5] ^= 1;  // of a weight
      write_text(entry.path(), bytes);
    }
  const std::vector<std::string> args = {"export", "--to", "packed", "--out", to, "--checkpoint"};
  const auto with = [&](const std::string& model) {
    auto all = args;
    all.push_back(model);
    return tern(all);
  };
  EXPECT_EQ(with(damaged).exit_code, 3);
  EXPECT_EQ(read_text(to), before);
  EXPECT_FALSE(fs::exists(to + ".tmp"));
  EXPECT_EQ(with(from).exit_code, 0);
  EXPECT_NE(read_text(to), before);
  write_text(to, "mine");
  const Outcome other = with(from);
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("something else: remove it first"));
  EXPECT_EQ(read_text(to), "mine");
}

TEST_F(Packed, WeightsThatAreNotFiniteAreNotPacked) {
  const std::string folder = room_ / "folder", to = room_ / "m.safetensors";
  succeed({"export", "--to", "hf", "--checkpoint", checkpoint(), "--out", folder});
  const fs::path weights = fs::path(folder) / "model.safetensors";
  const float nan = NAN;
  for (const char* name : {"model.layers.1.mlp.down_proj.weight", "model.norm.weight"}) {
    const SafetensorsFile::Entry e = SafetensorsFile::open(weights).entry(name);
    float before = 0;
    File file = File::open_to_write(weights);
    file.pread_all(e.offset + 8, std::as_writable_bytes(std::span(&before, 1)));
    file.pwrite_all(e.offset + 8, std::as_bytes(std::span(&nan, 1)));
    const Outcome outcome = tern({"export", "--to", "packed", "--checkpoint", folder, "--out", to});
    EXPECT_EQ(outcome.exit_code, 3);
    EXPECT_THAT(outcome.err, HasSubstr("'" + std::string(name) + "': expected finite numbers"));
    EXPECT_FALSE(fs::exists(to));
    file.pwrite_all(e.offset + 8, std::as_bytes(std::span(&before, 1)));
  }
}

TEST_F(Packed, AFolderPacksAsItsCheckpoint) {
  const std::string folder = room_ / "folder";
  succeed({"export", "--to", "hf", "--checkpoint", checkpoint(), "--out", folder});
  const std::vector<double> expected = logits(load(open_model(pack(checkpoint()))));
  EXPECT_EQ(logits(load(open_model(pack(folder)))), expected);
}

}  // namespace
}  // namespace tern::test
