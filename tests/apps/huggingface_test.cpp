// Models to Hugging Face folders and back: the same bytes, the same numbers.
#include "runtime/huggingface.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "apps/golden/golden.h"
#include "apps/run/open_model.h"
#include "core/bfloat16.h"
#include "core/cpu/cpu_backend.h"
#include "data/io/json.h"
#include "runtime/memory_plan.h"
#include "tests/apps/huggingface_folder.h"
#include "tests/apps/tiny_run.h"

namespace tern::test {
namespace {

using testing::HasSubstr;
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

// name -> bytes
std::map<std::string, std::string> files_in(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename()] = read_text(entry.path());
  return files;
}

// One trained run for all tests.
class HuggingFace : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    run_ = new TinyRun;
    ASSERT_EQ(run(run_->command("r", {"run.steps=20"})).exit_code, 0);
    checkpoint_ = run_->checkpoint("r", 20).string();
    folder_ = run_->room() / "folder";
    succeed({"export", "--checkpoint", checkpoint_, "--to", "hf", "--out", folder_.string()});
  }
  static void TearDownTestSuite() { delete run_; }

  static TinyRun* run_;
  static std::string checkpoint_;
  static fs::path folder_;
  TemporaryDirectory room_;
};
TinyRun* HuggingFace::run_ = nullptr;
std::string HuggingFace::checkpoint_;
fs::path HuggingFace::folder_;

TEST_F(HuggingFace, AnExportHoldsWhatTransformersReads) {
  const auto files = files_in(folder_);
  for (const char* name : {"README.md", "config.json", "configuration_hgrn_bit.py",
                           "generation_config.json", "model.safetensors", "modeling_hgrn_bit.py",
                           "tokenizer.model", "tokenizer.json", "tokenizer_config.json"})
    EXPECT_TRUE(files.contains(name)) << name;
  const auto config = parse_json(files.at("config.json"), "config.json");
  EXPECT_EQ(config["architectures"], nlohmann::json({"HGRNBitForCausalLM"}));
  EXPECT_EQ(config["hidden_size"], 16);
  EXPECT_EQ(config["intermediate_size"], 32);
  EXPECT_EQ(config["max_position_embeddings"], 16);
  EXPECT_EQ(config["bos_token_id"], 1);
  EXPECT_EQ(config["torch_dtype"], "float32");
  EXPECT_THAT(files.at("README.md"), HasSubstr("| tokens | 1.28k (1280) |"));
  EXPECT_THAT(files.at("README.md"), HasSubstr("optimizer.lr = 0.01"));
  EXPECT_EQ(files.at("README.md").find(run_->room()), std::string::npos);
  EXPECT_EQ(files.at("modeling_hgrn_bit.py"), read_text("python/hgrn_bit/modeling_hgrn_bit.py"));
}

TEST_F(HuggingFace, TheWeightsAreTheCheckpointsBits) {
  const SafetensorsFile file = SafetensorsFile::open(folder_ / "model.safetensors");
  const auto saved = tensors(checkpoint_);
  std::size_t weights = 0;
  for (const auto& [name, bytes] : saved) {
    if (name == "tokenizer" || name.find("_moment.") != name.npos) continue;
    std::string read(file.entry(name).bytes, '\0');
    file.read(file.entry(name), 0, std::as_writable_bytes(std::span(read)));
    EXPECT_EQ(read, bytes) << name;
    ++weights;
  }
  EXPECT_EQ(file.entries().size(), weights);
}

TEST_F(HuggingFace, ImportedAndExportedAgainEveryFileButTheCardIsTheSame) {
  const fs::path checkpoint = room_ / "imported", again = room_ / "again";
  succeed({"import", "--from", folder_.string(), "--out", checkpoint.string()});
  succeed({"export", "--checkpoint", checkpoint.string(), "--to", "hf", "--out", again.string()});
  auto before = files_in(folder_), after = files_in(again);
  EXPECT_NE(before["README.md"], after["README.md"]);
  before.erase("README.md");
  after.erase("README.md");
  EXPECT_EQ(before, after);
  EXPECT_EQ(tern({"inspect", checkpoint.string(), "--verify"}).exit_code, 0);
}

TEST_F(HuggingFace, Bf16IsRoundedToNearestAndImportsExactly) {
  const fs::path half = room_ / "half", checkpoint = room_ / "imported", again = room_ / "again";
  const auto out = [](const fs::path& path) { return path.string(); };
  succeed(
      {"export", "--checkpoint", checkpoint_, "--to", "hf", "--out", out(half), "--dtype", "bf16"});
  const SafetensorsFile f32 = SafetensorsFile::open(folder_ / "model.safetensors"),
                        bf16 = SafetensorsFile::open(half / "model.safetensors");
  for (const auto& [name, entry] : f32.entries()) {
    const std::vector<double> exact = f32.read_real(name);
    const SafetensorsFile::Entry& e = bf16.entry(name);
    ASSERT_EQ(e.type, StoredType::bf16);
    std::vector<BFloat16> rounded(exact.size());
    bf16.read(e, 0, std::as_writable_bytes(std::span(rounded)));
    for (std::size_t i = 0; i < exact.size(); ++i)
      ASSERT_EQ(rounded[i].bits, to_stored<BFloat16>(float(exact[i])).bits) << name << ' ' << i;
  }
  succeed({"import", "--from", out(half), "--out", out(checkpoint)});
  succeed({"export", "--checkpoint", out(checkpoint), "--to", "hf", "--out", out(again), "--dtype",
           "bf16"});
  EXPECT_EQ(read_text(half / "model.safetensors"), read_text(again / "model.safetensors"));
  EXPECT_EQ(read_text(half / "config.json"), read_text(again / "config.json"));
  EXPECT_THAT(read_text(half / "config.json"), HasSubstr("\"bfloat16\""));
}

TEST_F(HuggingFace, CheckpointFolderAndImportScoreAndWriteTheSame) {
  const std::string imported = room_ / "imported";
  succeed({"import", "--from", folder_.string(), "--out", imported});
  const auto of = [&](const std::string& model, std::vector<std::string> args) {
    args.insert(args.begin() + 1, {"--checkpoint", model});
    const std::string out = succeed(args);
    return out.substr(args[0] == "eval" ? out.find('\n') : 0);  // the first line names the model
  };
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"eval", "--data", tiny_corpus().string()},
        {"generate", "--prompt", "ROMEO:", "-n", "30", "--seed", "3"}}) {
    const std::string expected = of(checkpoint_, command);
    EXPECT_FALSE(expected.empty());
    EXPECT_EQ(of(folder_, command), expected);
    EXPECT_EQ(of(imported, command), expected);
  }
}

TEST_F(HuggingFace, ARunStartsFromAFolderOrAnImportWithTheSameNumbers) {
  const std::string imported = room_ / "imported";
  succeed({"import", "--from", folder_.string(), "--out", imported});
  std::map<std::string, std::map<int, double>> found;
  for (const std::string& from : {checkpoint_, folder_.string(), imported}) {
    const std::string name = "from" + std::to_string(found.size());
    const Outcome outcome = run(run_->command(name, {"run.steps=3", "init_from.path=" + from}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    found[from] = losses(run_->directory(name));
  }
  EXPECT_EQ(found[checkpoint_].size(), 3u);
  EXPECT_EQ(found[folder_.string()], found[checkpoint_]);
  EXPECT_EQ(found[imported], found[checkpoint_]);
}

TEST_F(HuggingFace, WeightsOfAnotherArithmeticAreNoted) {
  const Outcome outcome = run(run_->command(
      "other", {"run.steps=2", "model.quantize=none", "init_from.path=" + folder_.string()}));
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("model.quantize was \"ternary\", is \"none\""));
  EXPECT_THAT(outcome.err, HasSubstr("ignored, since they change no number: auto_map"));
}

TEST_F(HuggingFace, MomentsAreRefused) {
  const std::string imported = room_ / "imported";
  succeed({"import", "--from", folder_.string(), "--out", imported});
  for (const std::string& from : {folder_.string(), imported}) {
    const Outcome outcome = run(run_->command(
        "moments", {"run.steps=3", "init_from.path=" + from, "init_from.moments=true"}));
    EXPECT_EQ(outcome.exit_code, 3);
    EXPECT_THAT(outcome.err, HasSubstr("init_from.moments = false"));
  }
  const Outcome resumed = run(run_->command("r", {"run.steps=20"}, {"--resume", imported}));
  EXPECT_EQ(resumed.exit_code, 3);
  EXPECT_THAT(resumed.err, HasSubstr("init_from"));
}

TEST_F(HuggingFace, AFolderWithoutTokenizerScoresAndGeneratesWithOneThatIsNamed) {
  const fs::path bare = room_ / "bare";
  fs::copy(folder_, bare);
  for (const char* name : {"tokenizer.model", "tokenizer.json", "tokenizer_config.json"})
    fs::remove(bare / name);
  const std::string imported = room_ / "imported";
  EXPECT_THAT(succeed({"import", "--from", bare.string(), "--out", imported}),
              HasSubstr("without a tokenizer"));
  const std::string expected = succeed(
      {"generate", "--checkpoint", checkpoint_, "--prompt", "ROMEO:", "-n", "20", "--seed", "1"});
  for (const std::string& model : {bare.string(), imported}) {
    const Outcome refused = tern({"generate", "--checkpoint", model, "--prompt", "a"});
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_THAT(refused.err, HasSubstr("--tokenizer"));
    EXPECT_EQ(succeed({"generate", "--checkpoint", model, "--tokenizer",
                       (tiny_corpus() / "tokenizer.model").string(), "--prompt", "ROMEO:", "-n",
                       "20", "--seed", "1"}),
              expected);
    EXPECT_THAT(succeed({"eval", "--checkpoint", model, "--data", tiny_corpus().string()}),
                HasSubstr("bits per byte"));
  }
}

TEST_F(HuggingFace, F64IsWrittenAsF32AndThatIsSaid) {
  ASSERT_EQ(run(run_->command("double", {"run.steps=2", "precision.dtype=f64"})).exit_code, 0);
  const std::string out = room_ / "folder";
  EXPECT_THAT(succeed({"export", "--checkpoint", run_->directory("double").string(), "--to", "hf",
                       "--out", out}),
              HasSubstr("holds f64: written as f32"));
  EXPECT_EQ(
      SafetensorsFile::open(fs::path(out) / "model.safetensors").entry("model.norm.weight").type,
      StoredType::f32);
}

TEST_F(HuggingFace, RowsOfATensorAreThoseOfTheWhole) {
  const SavedModel saved = open_model(folder_);
  const auto rows = [&](std::uint64_t first, std::uint64_t count) {
    std::string bytes;
    saved.weights.read_rows("model.embeddings.weight", first, count,
                            [&](std::uint64_t offset, std::span<const std::byte> block) {
                              EXPECT_EQ(offset, bytes.size());
                              bytes.append(reinterpret_cast<const char*>(block.data()),
                                           block.size());
                            });
    return bytes;
  };
  const std::string whole = tensors(checkpoint_).at("model.embeddings.weight");
  EXPECT_EQ(rows(0, 320), whole);
  EXPECT_EQ(rows(7, 5), whole.substr(7 * 16 * 4, 5 * 16 * 4));
  EXPECT_EQ(rows(319, 1), whole.substr(319 * 16 * 4));
  EXPECT_EQ(rows(3, 0), "");
}

TEST_F(HuggingFace, AFamilyWithoutAFormThereIsRefused) {
  ASSERT_EQ(run(run_->command("mean", {"run.steps=2", "model.type=cumulative_mean"})).exit_code, 0);
  const std::string out = room_ / "folder";
  const Outcome outcome = tern(
      {"export", "--checkpoint", run_->directory("mean").string(), "--to", "hf", "--out", out});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("cumulative_mean"));
  EXPECT_THAT(outcome.err, HasSubstr("expected \"hgrn_bit\""));
  EXPECT_FALSE(fs::exists(out));
}

TEST_F(HuggingFace, ManyShardsReadAsOneFile) {
  const SavedModel saved = open_model(folder_);
  const fs::path shards = room_ / "shards";
  export_huggingface(saved, shards, {.shard_bytes = 10'000});
  EXPECT_TRUE(fs::exists(shards / kSafetensorsIndexName));
  EXPECT_FALSE(fs::exists(shards / kSafetensorsName));
  succeed({"export", "--checkpoint", shards.string(), "--to", "hf", "--out", room_ / "one"});
  EXPECT_EQ(read_text(fs::path(room_ / "one") / kSafetensorsName),
            read_text(folder_ / kSafetensorsName));
}

// Dense matrices that are bf16 in the files are bf16 in memory, too, and the same numbers as in
// f32.
TEST_F(HuggingFace, DenseMatricesInHalfPrecisionStaySoOnACpu) {
  const std::vector<std::int32_t> ids = {1, 17, 300, 5, 5, 319, 2};
  for (const std::string type : {"matmulfree", "transformer"}) {
    ASSERT_EQ(run(run_->command(type, {"run.steps=3", "model.quantize=none", "model.type=" + type,
                                       "model.hidden_size=64"}))
                  .exit_code,
              0);
    const std::string folder = room_ / type;
    succeed({"export", "--checkpoint", run_->checkpoint(type, 3).string(), "--to", "hf", "--dtype",
             "bf16", "--out", folder});
    const SavedModel saved = open_model(folder);
    const LoadedModel loaded = load_model(saved, Device("cpu"), [](Model&) {});
    CpuBackend cpu(std::size_t(32) << 20);
    Model wide(saved.config.model, {});
    InferenceWeights weights(cpu, wide.parameters());
    load_weights(saved.weights, weights);
    for (const Index n : {1, 7}) {  // rows of the products
      const auto logits = [&](Model& model) {
        return download_real(model.logits(
            {}, upload_ids(model.backend(), {1, n}, std::vector(ids.begin(), ids.begin() + n))));
      };
      EXPECT_EQ(logits(*loaded.model), logits(wide)) << type << ' ' << n;
    }
    for (const Parameter* p : loaded.model->parameters()) {
      if (!p->working_copy) continue;
      EXPECT_FALSE(p->value) << p->name;
      EXPECT_EQ(p->working.dtype(), DType::bf16) << p->name;
    }
    succeed(
        {"trace", "--checkpoint", folder, "--tokens", "1,17", "--out", room_ / (type + "-trace")});
    for (const std::string& other : {run_->checkpoint(type, 3).string(), folder}) {
      SavedModel kept = open_model(other);  // f32 in the files, or f64 asked for
      if (other == folder) kept.config.dtype = Precision::f64;
      const LoadedModel real = load_model(kept, Device("cpu"), [](Model&) {});
      for (const Parameter* p : real.model->parameters())
        EXPECT_TRUE(p->value && !p->working) << p->name;
    }
  }
}

TEST(HuggingFaceSize, ASmallModelOfEachPublishedSizeHasItsTensors) {
  for (const auto& [name, tensors, parameters] :
       {std::tuple("370m", 365u, 374'108'160ll), std::tuple("1.3b", 365u, 1'364'779'008ll),
        std::tuple("2.7b", 485u, 2'702'357'504ll)}) {
    const Model model(named_model(name), {});
    const std::vector<HuggingFaceTensor> found = huggingface_tensors(model);
    std::int64_t elements = 0;
    for (const HuggingFaceTensor& t : found) {
      std::int64_t n = 1;
      for (const std::int64_t d : t.shape()) n *= d;
      elements += n;
    }
    EXPECT_EQ(found.size(), tensors) << name;
    EXPECT_EQ(elements, parameters) << name;
  }
}

// A golden file's model through a folder and a checkpoint: the loss and logits that it should have.
TEST(HuggingFaceGolden, AFolderOfAGoldenFileImportsWithItsLogits) {
  for (const char* name : {"tiny_model", "tiny_no_lower_bound"}) {
    const TemporaryDirectory room;
    const SafetensorsFile golden =
        SafetensorsFile::open(std::string("tests/golden/") + name + ".safetensors");
    for (const std::string dtype : {"F32", "sharded"}) {
      const std::string folder = room / dtype, imported = room / (dtype + "-imported");
      write_golden_folder(golden, folder, dtype == "sharded" ? 3000 : 1 << 30);
      succeed({"import", "--from", folder, "--out", imported});
      SavedModel saved = open_model(imported);
      saved.config.dtype = Precision::f64;
      const auto ids = golden.read_i32("input_ids");
      const Shape shape = golden_shape(golden);
      const auto run_once = [&](Model& model) {
        return model.logits({}, upload_ids(model.backend(), shape, ids));
      };
      const LoadedModel loaded =
          load_model(saved, Device("cpu"), [&](Model& model) { run_once(model); });
      const std::vector<double> got = download_real(run_once(*loaded.model)),
                                expected = golden.read_real("logits");
      double difference = 0, largest = 0;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        difference = std::max(difference, std::abs(got[i] - expected[i]));
        largest = std::max(largest, std::abs(expected[i]));
      }
      EXPECT_LE(difference, 1e-6 * largest) << name << ' ' << dtype;
    }
  }
}

}  // namespace
}  // namespace tern::test
