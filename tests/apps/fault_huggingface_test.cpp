// Rows 37 and 69, and configurations of Hugging Face folders: what a model is not is refused as a
// whole before anything is made, and folders are replaced whole or not at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "apps/golden/golden.h"
#include "data/io/json.h"
#include "data/io/safetensors_folder.h"
#include "data/io/staged_directory.h"
#include "runtime/huggingface.h"
#include "tests/apps/huggingface_folder.h"
#include "tests/support/complaint.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::json;
namespace fs = std::filesystem;

class FolderFault : public testing::Test {
 protected:
  Json config() const { return parse_json(read_text(folder_ / "config.json"), "config.json"); }
  Outcome import() const {
    const Outcome outcome = run({.args = {sibling_program("tern"), "import", "--from",
                                          folder_.string(), "--out", room_ / "checkpoint"}});
    EXPECT_EQ(fs::exists(room_ / "checkpoint"), outcome.exit_code == 0);
    EXPECT_FALSE(fs::exists(room_ / "checkpoint.tmp"));
    if (outcome.exit_code == 0) fs::remove_all(room_ / "checkpoint");
    return outcome;
  }
  Outcome with_config(const Json& config) const {
    write_text(folder_ / "config.json", config.dump());
    return import();
  }
  // with this value of one key
  Outcome with(const std::string& key, const Json& value) const {
    Json changed = config_;
    changed[key] = value;
    return with_config(changed);
  }
  // The tensors, some of them changed, as the folder's one file.
  void rewrite(const std::function<void(std::vector<SafetensorsTensor>&)>& change) const {
    std::vector<SafetensorsTensor> tensors;
    {
      const SafetensorsFile file = SafetensorsFile::open(folder_ / kSafetensorsName);
      for (const auto& [name, entry] : file.entries())
        tensors.push_back({name, entry.type, entry.shape});
    }
    change(tensors);
    fs::remove(folder_ / kSafetensorsName);
    write_safetensors(folder_, tensors, 1 << 30, [&](std::size_t i, const AppendBytes& append) {
      append(std::vector<std::byte>(tensors[i].bytes()));
    });
  }

  TemporaryDirectory room_;
  const fs::path folder_ = room_ / "folder";
  const Json config_ = [this] {
    write_golden_folder(SafetensorsFile::open("tests/golden/tiny_no_lower_bound.safetensors"),
                        folder_);
    return config();
  }();
};

using Fault37 = FolderFault;

SafetensorsTensor& named(std::vector<SafetensorsTensor>& tensors, const std::string& name) {
  return *std::ranges::find(tensors, name, &SafetensorsTensor::name);
}

TEST_F(Fault37, AllTensorsThatAreMissingWrongOrUnexpectedAreListedAtOnce) {
  EXPECT_EQ(import().exit_code, 0);
  rewrite([](std::vector<SafetensorsTensor>& tensors) {
    std::erase_if(tensors, [](const SafetensorsTensor& t) {
      return t.name == "model.norm.weight" || t.name == "model.layers.0.attn.g_norm.weight";
    });
    auto& down = named(tensors, "model.layers.0.mlp.down_proj.weight").shape;
    std::swap(down[0], down[1]);  // the right number of bytes
    named(tensors, "lm_head.norm.weight").type = StoredType::f64;
    named(tensors, "model.embeddings.weight").type = StoredType::i32;
    tensors.push_back({"model.layers.0.attn.q_proj.weight", StoredType::f32, {2, 2}});
    tensors.push_back({"lm_head.bias", StoredType::f32, {7}});
  });
  const Outcome outcome = import();
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("7 problems"));
  for (const char* line :
       {"missing: model.norm.weight [", "missing: model.layers.0.attn.g_norm.weight [",
        "wrong shape: model.layers.0.mlp.down_proj.weight: expected [", "got F64", "got I32",
        "not expected: model.layers.0.attn.q_proj.weight [2,2]", "not expected: lm_head.bias [7]"})
    EXPECT_THAT(outcome.err, HasSubstr(line));
}

TEST_F(Fault37, AModelOfAnotherSizeLacksAndHasTensors) {
  Json changed = config_;
  changed["num_hidden_layers"] = config_["num_hidden_layers"].get<int>() + 1;
  changed["use_lower_bound"] = true;
  const Outcome outcome = with_config(changed);
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("16 problems"), HasSubstr("missing: model.lower_bounds"),
                                 HasSubstr("mlp.gate_proj.norm.weight")));
}

TEST_F(Fault37, TheLargestModelThatAConfigMayNameTakesNoMemory) {
  Json changed = config_;
  changed["num_hidden_layers"] = kMaxLayers;
  changed["hidden_size"] = kMaxWidth;
  changed["vocab_size"] = kMaxVocabSize;
  write_text(folder_ / "config.json", changed.dump());
  const Outcome outcome = run({.args = {sibling_program("tern"), "import", "--from",
                                        folder_.string(), "--out", room_ / "checkpoint"},
                               .limits = {{RLIMIT_AS, rlim_t(2) << 30}}});
  EXPECT_EQ(outcome.exit_code, 3) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("problems"));
}

TEST_F(Fault37, HalfPrecisionAndSinglePrecisionAreRead) {
  for (const StoredType type : {StoredType::bf16, StoredType::f16, StoredType::f32}) {
    rewrite([&](std::vector<SafetensorsTensor>& tensors) {
      for (SafetensorsTensor& t : tensors) t.type = type;
    });
    EXPECT_EQ(import().exit_code, 0) << name_of(type);
  }
}

TEST_F(Fault37, WeightsThatAreNotFiniteAreNamed) {
  std::fstream file(folder_ / kSafetensorsName, std::ios::in | std::ios::out | std::ios::binary);
  const SafetensorsFile weights = SafetensorsFile::open(folder_ / kSafetensorsName);
  const auto& entry = weights.entry("model.layers.0.mlp.down_proj.weight");
  const float nan = NAN;
  file.seekp(std::streamoff(entry.offset + 5 * sizeof nan));
  file.write(reinterpret_cast<const char*>(&nan), sizeof nan);
  file.close();
  const Outcome outcome = import();
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("'model.layers.0.mlp.down_proj.weight'"),
                                 HasSubstr("element 5 is ")));
}

TEST_F(Fault37, PickledWeightsAreNotRead) {
  fs::rename(folder_ / kSafetensorsName, folder_ / "pytorch_model.bin");
  const Outcome outcome = import();
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("model.safetensors"), HasSubstr("never read")));
}

// --- config.json ---

using FolderConfig = FolderFault;

TEST_F(FolderConfig, KeysThatChangeNoNumberAreIgnoredAndNamed) {
  Json changed = config_;
  changed["attn_mode"] = "fused_recurrent";
  changed["use_cache"] = false;
  changed["transformers_version"] = "4.38.0";
  changed["conv_size"] = 7;
  const Outcome outcome = with_config(changed);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("ignored, since they change no number: attn_mode, auto_map, "
                                     "use_cache\n"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("conv_size")));
}

TEST_F(FolderConfig, KeysAndValuesThatChangeTheArithmeticAreRefused) {
  for (const auto& [key, value] :
       std::multimap<std::string, Json>{{"num_heads", 2},
                                        {"expand_ratio", 2},
                                        {"use_short_conv", true},
                                        {"tie_word_embeddings", true},
                                        {"hidden_act", "gelu"},
                                        {"quantize", "int4"},
                                        {"rms_norm_eps", -1},
                                        {"rms_norm_eps", "1e-6"},
                                        {"hidden_size", 2.5},
                                        {"hidden_size", "16"},
                                        {"hidden_size", nullptr},
                                        {"vocab_size", 0},
                                        {"num_hidden_layers", 1'000'000},
                                        {"use_lower_bound", "yes"},
                                        {"intermediate_size", 1'000'000},
                                        {"architectures", {"LlamaForCausalLM"}},
                                        {"rope_theta", 10000},
                                        {"quantization_config", Json::object()},
                                        {"model_type", "mamba"}}) {
    const Outcome outcome = with(key, value);
    EXPECT_EQ(outcome.exit_code, 3) << key;
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("config.json"), HasSubstr(key))) << key;
  }
  EXPECT_EQ(with_config(config_).exit_code, 0);
}

TEST_F(FolderConfig, AllMistakesAreListedAtOnce) {
  Json changed = config_;
  changed["num_heads"] = 4;
  changed["hidden_act"] = "gelu";
  changed["sliding_window"] = 4096;
  changed.erase("vocab_size");
  const Outcome outcome = with_config(changed);
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("4 problems"), HasSubstr("num_heads: expected 1, got 4"),
                    HasSubstr("hidden_act: expected \"swish\" or \"silu\", got \"gelu\""),
                    HasSubstr("vocab_size: expected a whole number"),
                    HasSubstr("\"sliding_window\": not known")));
}

TEST_F(FolderConfig, OneThatIsNoObjectIsRefused) {
  for (const char* text : {"", "[]", "7", "{\"a\":1,\"a\":2}", "{", "null"}) {
    write_text(folder_ / "config.json", text);
    const Outcome outcome = import();
    EXPECT_EQ(outcome.exit_code, 3) << text;
    EXPECT_THAT(outcome.err, HasSubstr("config.json")) << text;
  }
  fs::remove(folder_ / "config.json");
  EXPECT_EQ(import().exit_code, 3);
  const Outcome outcome = run({.args = {sibling_program("tern"), "generate", "--checkpoint",
                                        folder_.string(), "--prompt", "a"}});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("holds model.safetensors and no config.json"));
}

TEST_F(FolderConfig, ATokenizerOfAnotherSizeIsRefused) {
  const Outcome made =
      run({.args = {sibling_program("tern"), "tokenizer", "train", "--vocab-size", "300", "--out",
                    folder_ / "tokenizer.model", "configs/demo/tinyshakespeare.txt"}});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const Outcome outcome = import();
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("vocab_size"), HasSubstr("300")));
}

// --- row 61: too little memory ---

class Fault61 : public testing::Test {
 protected:
  // A model of 66 MB: most of it embedding and head.
  Fault61() {
    const ModelConfig config{.vocab_size = 32'000, .width = 256, .layers = 1};
    fs::create_directory(folder_);
    write_text(folder_ / "config.json", huggingface_config(config, {}).dump());
    const Model model(config, {});
    std::vector<SafetensorsTensor> tensors;
    for (const HuggingFaceTensor& t : huggingface_tensors(model))
      tensors.push_back({t.name, StoredType::f32, t.shape()});
    write_safetensors(folder_, tensors, 1 << 30, [&](std::size_t i, const AppendBytes& append) {
      std::vector<float> values(tensors[i].bytes() / sizeof(float));
      for (std::size_t k = 0; k < values.size(); ++k) values[k] = float(k % 65'521);
      append(std::as_bytes(std::span(values)));
    });
  }
  Outcome within(std::size_t megabytes, std::vector<std::string> args) const {
    args.insert(args.begin(), sibling_program("tern"));
    return run({.args = args,
                .env = {{"OMP_NUM_THREADS", "1"}},
                .limits = {{RLIMIT_AS, rlim_t(megabytes) << 20}}});
  }
  TemporaryDirectory room_;
  const fs::path folder_ = room_ / "folder";
};

TEST_F(Fault61, ImportAndExportTakeOneBlockOfMemoryAndAModelThatDoesNotFitSaysSo) {
  const std::string checkpoint = room_ / "checkpoint", again = room_ / "again";
  const Outcome imported = within(80, {"import", "--from", folder_.string(), "--out", checkpoint});
  EXPECT_EQ(imported.exit_code, 0) << imported.err;
  const Outcome exported =
      within(80, {"export", "--checkpoint", checkpoint, "--to", "hf", "--out", again});
  EXPECT_EQ(exported.exit_code, 0) << exported.err;
  EXPECT_TRUE(read_text(fs::path(again) / kSafetensorsName) ==  // too long to be printed
              read_text(folder_ / kSafetensorsName));
  for (const std::string& model : {checkpoint, again}) {
    const Outcome outcome =
        within(80, {"trace", "--checkpoint", model, "--tokens", "1,2", "--out", room_ / "trace"});
    EXPECT_EQ(outcome.exit_code, 5) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("out of memory"));
    EXPECT_FALSE(fs::exists(room_ / "trace"));
  }
}

const Replaceable kAnything = {.is_part = [](const std::string&) { return true; },
                               .is_one = [](const fs::path&) { return true; }};

// --- row 69: exports that are interrupted, and folders that are there ---

class Fault69 : public FolderFault {
 protected:
  Command command(const fs::path& to) const {
    return {.args = {sibling_program("tern"), "export", "--checkpoint", folder_.string(), "--to",
                     "hf", "--out", to.string()}};
  }
};

TEST_F(Fault69, AnExportReplacesAnExportWhole) {
  const fs::path to = room_ / "to";
  ASSERT_EQ(run(command(to)).exit_code, 0);
  write_text(to / "model-00001-of-00002.safetensors", "an older export had shards");
  const Outcome outcome = run(command(to));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_FALSE(fs::exists(to / "model-00001-of-00002.safetensors"));
  EXPECT_EQ(read_text(to / kSafetensorsName), read_text(folder_ / kSafetensorsName));
  EXPECT_FALSE(fs::exists(to.string() + ".tmp"));
  // with a slash behind it, and an empty folder
  fs::create_directory(room_ / "empty");
  EXPECT_EQ(run(command(room_ / "empty/")).exit_code, 0);
  EXPECT_TRUE(fs::exists(fs::path(room_ / "empty") / "config.json"));
}

TEST_F(Fault69, AFolderWithAnythingElseInItIsLeftAlone) {
  const fs::path to = room_ / "to";
  ASSERT_EQ(run(command(to)).exit_code, 0);
  write_text(to / "notes.txt", "mine");
  write_text(to / kSafetensorsName, "old");
  const Outcome outcome = run(command(to));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("notes.txt"));
  EXPECT_EQ(read_text(to / kSafetensorsName), "old");
  write_text(room_ / "file", "mine");
  EXPECT_EQ(run(command(room_ / "file")).exit_code, 2);
  EXPECT_EQ(read_text(room_ / "file"), "mine");
  fs::create_symlink(to, room_ / "link");
  EXPECT_EQ(run(command(room_ / "link")).exit_code, 2);
}

TEST_F(Fault69, AFolderThatOnlyLooksLikeAnExportIsLeftAlone) {
  const fs::path card = room_ / "card";
  fs::create_directory(card);
  write_text(card / "README.md", "mine");
  EXPECT_EQ(run(command(card)).exit_code, 2);
  EXPECT_EQ(read_text(card / "README.md"), "mine");
  fs::copy(folder_, room_ / "published");  // config.json and weights of somebody else
  const Outcome outcome = run(command(room_ / "published"));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("was not written by this command"));
  EXPECT_TRUE(fs::exists(fs::path(room_ / "published") / kSafetensorsName));
}

TEST_F(Fault69, AnImportReplacesAnImportAndNothingElse) {
  const auto import_to = [&](const fs::path& to) {
    return run({.args = {sibling_program("tern"), "import", "--from", folder_.string(), "--out",
                         to.string()}});
  };
  const fs::path to = room_ / "to", data = room_ / "data", steps = room_ / "steps";
  EXPECT_EQ(import_to(to).exit_code, 0);
  EXPECT_EQ(import_to(to).exit_code, 0);
  for (const fs::path& folder : {data, steps}) fs::create_directory(folder);
  write_text(data / "a.h5", "mine");
  fs::copy(to, steps / "step-00000000");
  for (const fs::path& folder : {data, steps}) {
    EXPECT_EQ(import_to(folder).exit_code, 2) << folder;
    EXPECT_FALSE(fs::exists(folder.string() + ".tmp"));
  }
  EXPECT_EQ(read_text(data / "a.h5"), "mine");
  EXPECT_TRUE(fs::exists(steps / "step-00000000" / "manifest.json"));
}

TEST_F(Fault69, WhatAppearsMeanwhileIsNotReplaced) {
  const fs::path to = room_ / "to";
  StagedDirectory staged(to, {.is_part = [](const std::string& name) { return name == "ours"; },
                              .is_one = [](const fs::path&) { return true; }});
  write_text(staged.path() / "ours", "new");
  fs::create_directory(to);
  write_text(to / "diary.txt", "mine");
  EXPECT_THAT(complaint([&] { staged.publish(); }), HasSubstr("diary.txt"));
  EXPECT_EQ(read_text(to / "diary.txt"), "mine");
  fs::remove(to / "diary.txt");
  staged.publish();
  EXPECT_EQ(read_text(to / "ours"), "new");
}

// where two names cannot be exchanged, a process may die between two renames
TEST_F(Fault69, AFolderThatWasMovedAsideComesBack) {
  const fs::path to = room_ / "to", aside = room_ / "to.old.tmp";
  ASSERT_EQ(run(command(to)).exit_code, 0);
  fs::rename(to, aside);
  { const StagedDirectory staged(to, kAnything); }  // the next one, even if it fails
  EXPECT_TRUE(fs::exists(to / "config.json"));
  EXPECT_FALSE(fs::exists(aside));
  fs::copy(to, aside);
  ASSERT_EQ(run(command(to)).exit_code, 0);
  EXPECT_FALSE(fs::exists(aside));
}

TEST_F(Fault69, AFullDiskLeavesTheOldFolder) {
  fs::create_directory(room_ / "disk");
  const SmallDisk disk(room_ / "disk", 256 << 10);
  if (!disk.mounted()) GTEST_SKIP() << "no file system can be mounted here";
  const fs::path to = fs::path(room_ / "disk") / "to";
  fs::create_directory(to);
  write_text(to / "config.json", "old");
  write_text(to / "README.md", "| written by | tern 0.1 |");  // as an export has it
  write_text(fs::path(room_ / "disk") / "fill", std::string(64 << 10, 'x'));
  const Outcome outcome = run(command(to));
  EXPECT_EQ(outcome.exit_code, 6) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("B of free space, got "));
  EXPECT_EQ(read_text(to / "config.json"), "old");
  EXPECT_FALSE(fs::exists(to.string() + ".tmp"));
}

TEST_F(Fault69, AKilledExportLeavesTheOldFolderAndTheNextOneCleansUp) {
  const fs::path to = room_ / "to", left = room_ / "to.tmp";
  ASSERT_EQ(run(command(to)).exit_code, 0);
  const std::string before = read_text(to / kSafetensorsName);
  // what one leaves that is killed while it writes: a body with the lock of its folder held
  const Outcome killed = run({.body = [&] {
    const StagedDirectory staged(to, kAnything);
    write_text(staged.path() / "config.json", "half");
    write_text(staged.path() / kSafetensorsName, "half");
    ::kill(::getpid(), SIGKILL);
    return 0;
  }});
  EXPECT_EQ(killed.signal, SIGKILL);
  EXPECT_TRUE(fs::exists(left / "config.json"));
  EXPECT_EQ(read_text(to / kSafetensorsName), before);
  const Outcome next = run(command(to));
  EXPECT_EQ(next.exit_code, 0) << next.err;
  EXPECT_FALSE(fs::exists(left));
  EXPECT_EQ(read_text(to / kSafetensorsName), before);
}

TEST_F(Fault69, TwoExportsToOneFolderAreNotMixed) {
  const fs::path to = room_ / "to";
  const StagedDirectory first(to, kAnything);
  write_text(first.path() / "config.json", "of the first");
  const Outcome second = run(command(to));
  EXPECT_EQ(second.exit_code, 2);
  EXPECT_THAT(second.err, HasSubstr("another process"));
  EXPECT_EQ(read_text(first.path() / "config.json"), "of the first");
}

TEST_F(Fault69, WhatLiesAtTheTemporaryNameIsNotDeletedIfAnExportDoesNotWriteIt) {
  const fs::path left = room_ / "to.tmp";
  fs::create_directory(left);
  write_text(left / "diary.txt", "mine");
  const Outcome outcome = run(command(room_ / "to"));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("diary.txt"));
  EXPECT_EQ(read_text(left / "diary.txt"), "mine");
}

TEST_F(Fault69, ADamagedSourceLeavesNothing) {
  const fs::path to = room_ / "to";
  ASSERT_EQ(run({.args = {sibling_program("tern"), "import", "--from", folder_.string(), "--out",
                          room_ / "checkpoint"}})
                .exit_code,
            0);
  const fs::path shard = fs::path(room_ / "checkpoint") / "rank-000-part-00.h5";
  std::string bytes = read_text(shard);
  const SafetensorsFile weights = SafetensorsFile::open(folder_ / kSafetensorsName);
  const auto& entry = weights.entry("lm_head.weight");
  std::string head(entry.bytes, '\0');
  weights.read(entry, 0, std::as_writable_bytes(std::span(head)));
  bytes[bytes.find(head) + 100] ^= 1;
  write_text(shard, bytes);
  Command damaged = command(to);
  damaged.args[3] = room_ / "checkpoint";
  const Outcome outcome = run(damaged);
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("lm_head.weight"));
  EXPECT_FALSE(fs::exists(to));
  EXPECT_FALSE(fs::exists(room_ / "to.tmp"));
}

}  // namespace
}  // namespace tern::test
