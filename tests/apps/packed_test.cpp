// Models to packed files and back: the same codes, the same scales, the same numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "apps/run/open_model.h"
#include "core/backend.h"
#include "core/bfloat16.h"
#include "core/cpu/cpu_backend.h"
#include "core/ternary_tiles.h"
#include "runtime/huggingface.h"
#include "runtime/packed_model.h"
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
  static std::string checkpoint(const std::vector<std::string>& overrides = {}) {
    std::string name = "r";
    for (const std::string& o : overrides) name += '-' + o.substr(o.find('.') + 1);
    std::ranges::replace(name, '=', '-');
    std::string& at = runs_->checkpoints[name];
    if (!at.empty()) return at;
    std::vector<std::string> all = overrides;
    all.push_back("run.steps=3");
    const Outcome outcome = ::tern::run(runs_->run.command(name, all));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return at = runs_->run.checkpoint(name, 3).string();
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
