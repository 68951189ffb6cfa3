// Rows 319 and 320: packed files that are damaged, of others, or that say what cannot be; and a
// file that is truncated while it is in use.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "apps/run/open_model.h"
#include "data/io/json.h"
#include "runtime/packed_model.h"
#include "tests/apps/huggingface_folder.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/complaint.h"

namespace tern::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
namespace fs = std::filesystem;
using Json = nlohmann::json;

// A file taken apart: changed, and written again with hashes that are right.
struct Parts {
  struct Part {
    SafetensorsTensor tensor;
    std::string bytes;
  };
  std::map<std::string, std::string> metadata;
  std::vector<Part> tensors;  // in the order of the file, without the hashes

  Part& at(const std::string& name) {
    return *std::ranges::find(tensors, name, [](const Part& p) { return p.tensor.name; });
  }
  void erase(const std::string& name) {
    std::erase_if(tensors, [&](const Part& p) { return p.tensor.name == name; });
  }
};

Parts parts_of(const fs::path& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  Parts parts{.metadata = file.metadata(), .tensors = {}};
  std::map<std::uint64_t, std::string> order;
  for (const auto& [name, e] : file.entries())
    if (name != kPackedHashes) order[e.offset] = name;
  for (const auto& [offset, name] : order) {
    const SafetensorsFile::Entry& e = file.entry(name);
    std::string bytes(e.bytes, '\0');
    file.read(e, 0, std::as_writable_bytes(std::span(bytes)));
    parts.tensors.push_back({{name, e.type, e.shape}, bytes});
  }
  return parts;
}

void write(const Parts& parts, const fs::path& path) {
  fs::remove(path);
  File file = File::create(path);
  std::vector<SafetensorsTensor> tensors;
  std::uint64_t bytes = 0;
  for (const auto& part : parts.tensors) {
    tensors.push_back(part.tensor);
    bytes += part.bytes.size();
  }
  tensors.push_back({kPackedHashes, StoredType::u8, packed_hashes_shape(bytes)});
  SafetensorsWriter writer(file, tensors, parts.metadata);
  const std::size_t header = writer.written()->bytes().size();
  for (const auto& part : parts.tensors) writer.append(std::as_bytes(std::span(part.bytes)));
  const std::vector<HashBytes> hashes = packed_hashes(writer.written()->bytes(), header);
  writer.append(std::as_bytes(std::span(hashes)));
  writer.finish();
}

class PackedFault : public testing::Test {
 protected:
  // A model of odd sizes with a tokenizer.
  static void SetUpTestSuite() {
    run_ = new TinyRun;
    const Outcome outcome = run(
        run_->command("r", {"run.steps=1", "model.hidden_size=24", "model.intermediate_size=40"}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    good_ = run_->room() / "good.safetensors";
    export_packed(open_model(run_->checkpoint("r", 1)), good_, {.embedding = StoredType::i8});
  }
  static void TearDownTestSuite() { delete run_; }

  // What open_packed says of the file at path_: one line, of Fault::input, with its name.
  std::string refusal() const {
    try {
      open_packed(path_);
      return "";
    } catch (const Error& e) {
      const std::string text = e.what();
      EXPECT_EQ(e.fault, Fault::input) << text;
      EXPECT_TRUE(text.starts_with(path_)) << text;
      EXPECT_EQ(text.find('\n'), text.npos) << text;
      return text;
    }
  }
  std::string refusal_of(const std::string& bytes) const {
    write_text(path_, bytes);
    return refusal();
  }
  std::string refusal_with(const std::function<void(Parts&)>& change) const {
    Parts parts = parts_of(good_);
    change(parts);
    write(parts, path_);
    return refusal();
  }

  static TinyRun* run_;
  static fs::path good_;
  TemporaryDirectory room_;
  const std::string path_ = room_ / "m.safetensors";
};
TinyRun* PackedFault::run_ = nullptr;
fs::path PackedFault::good_;

using Fault319 = PackedFault;
using Fault320 = PackedFault;

constexpr const char* kMatrix = "model.layers.1.mlp.down_proj.weight";  // (24, 40)

TEST_F(Fault319, AFileThatIsWrittenAgainIsAsGood) {
  EXPECT_EQ(refusal_with([](Parts&) {}), "");
  EXPECT_EQ(read_text(path_), read_text(good_));
}

TEST_F(Fault319, AFlippedBitAnywhereIsNoticed) {
  const std::string good = read_text(good_);
  const SafetensorsFile file = SafetensorsFile::open(good_);
  for (const auto& [name, e] : file.entries())
    for (const std::uint64_t at : {e.offset, e.offset + e.bytes / 2, e.offset + e.bytes - 1}) {
      std::string bad = good;
      bad[at] ^= 4;
      EXPECT_THAT(refusal_of(bad), AllOf(HasSubstr("expected the hash "), HasSubstr("got "),
                                         HasSubstr("is damaged"), HasSubstr("copy it again")))
          << name << ' ' << at;
    }
  for (std::uint64_t at = 0; at < file.header_bytes(); ++at) {
    std::string bad = good;
    bad[at] ^= 1;
    EXPECT_NE(refusal_of(bad), "") << at;
  }
  std::string other = good;  // a digit of the configuration: the header is as good as before
  const std::size_t at = other.find("1e-06");
  ASSERT_LT(at, file.header_bytes());
  other[at + 4] = '5';
  EXPECT_THAT(refusal_of(other), HasSubstr("in the header: expected the hash"));
}

TEST_F(Fault319, ATruncatedFileIsNamed) {
  const std::string good = read_text(good_);
  for (const std::size_t bytes : {std::size_t(0), std::size_t(7), std::size_t(8), std::size_t(500),
                                  good.size() / 2, good.size() - 1})
    EXPECT_THAT(refusal_of(good.substr(0, bytes)), HasSubstr("copy it again, or write it anew"))
        << bytes;
  EXPECT_THAT(refusal_of(good + 'x'), HasSubstr("expected the file to end"));
}

TEST_F(Fault319, FilesOfOthersAreNamed) {
  fs::copy(fs::absolute("tests/golden/tiny_model.safetensors"), path_);
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("expected a packed model"), HasSubstr("a safetensors file"),
                    HasSubstr("Hugging Face model by its folder")));
  const fs::path folder = room_ / "folder";
  write_golden_folder(SafetensorsFile::open("tests/golden/tiny_model.safetensors"), folder);
  const std::string weights = folder / "model.safetensors";
  EXPECT_THAT(complaint([&] { open_model(weights); }), HasSubstr("with the format \"pt\""));
  EXPECT_THAT(refusal_of("GGUF" + std::string(100, '\1')), HasSubstr("does not fit the file"));
}

TEST_F(Fault319, AnotherVersionIsNamed) {
  EXPECT_THAT(refusal_with([](Parts& p) {
                p.metadata["version"] = "2";
                p.metadata["written_by"] = "tern 9.9";
              }),
              AllOf(HasSubstr("expected version \"1\" of the format tern-packed, got \"2\""),
                    HasSubstr("tern 9.9")));
  EXPECT_THAT(refusal_with([](Parts& p) { p.metadata.erase("version"); }), HasSubstr("got none"));
}

TEST_F(Fault319, AConfigurationThatIsNoneIsRefused) {
  const auto with = [&](const std::function<void(Json&)>& change) {
    return refusal_with([&](Parts& p) {
      Json config = Json::parse(p.metadata.at("config"));
      change(config);
      p.metadata["config"] = config.dump();
    });
  };
  EXPECT_THAT(refusal_with([](Parts& p) { p.metadata.erase("config"); }),
              HasSubstr("__metadata__: expected 'config', got none"));
  EXPECT_THAT(refusal_with([](Parts& p) { p.metadata["config"] = "{"; }), HasSubstr("JSON"));
  EXPECT_THAT(with([](Json& c) { c["hidden_size"] = "wide"; }), HasSubstr("hidden_size: expected"));
  EXPECT_THAT(with([](Json& c) { c["rope_theta"] = 3; }), HasSubstr("rope_theta"));
  EXPECT_THAT(with([](Json& c) { c["quantize"] = "none"; }),
              HasSubstr("quantize: expected \"ternary\", got \"none\""));
}

TEST_F(Fault319, TensorsThatAreMissingWrongOrUnexpectedAreNamed) {
  EXPECT_THAT(refusal_with([](Parts& p) { p.erase(kMatrix); }),
              HasSubstr("down_proj.weight': expected U8 [2,3,64], got none"));
  EXPECT_THAT(refusal_with([](Parts& p) {
                p.at(kMatrix).tensor.shape = {3, 2, 64};
              }),
              HasSubstr("expected U8 [2,3,64], got U8 [3,2,64]"));
  EXPECT_THAT(refusal_with([](Parts& p) { p.at(kMatrix).tensor.type = StoredType::i8; }),
              HasSubstr("expected U8 [2,3,64], got I8 [2,3,64]"));
  EXPECT_THAT(refusal_with([](Parts& p) { p.erase(std::string(kMatrix) + "_scale"); }),
              HasSubstr("weight_scale': expected F32 [1], got none"));
  EXPECT_THAT(refusal_with([](Parts& p) { p.erase("model.embeddings.weight_scale"); }),
              HasSubstr("embeddings.weight_scale': expected F32 [320], got none"));
  EXPECT_THAT(refusal_with([](Parts& p) {
                p.tensors.push_back({{"lm_head.bias", StoredType::f32, {1}}, "abcd"});
              }),
              HasSubstr("lm_head.bias': expected none of this name"));
}

TEST_F(Fault319, NumbersBeginAtMultiplesOfTheirSize) {
  Parts parts = parts_of(good_);
  Parts::Part odd = parts.at(kPackedTokenizer);
  odd.bytes.resize(3);
  odd.tensor.shape = {3};
  parts.erase(kPackedTokenizer);
  parts.tensors.insert(parts.tensors.begin(), odd);
  write(parts, path_);
  const std::string text = complaint([&] { open_packed(path_); });
  EXPECT_THAT(text,
              HasSubstr("'model.norm.weight': expected it to begin at a multiple of 4 B, got"));
}

TEST_F(Fault319, HashesAreTheLastTensorAndThereAreEnough) {
  const std::string good = read_text(good_);
  const std::string renamed = [&] {
    std::string text = good;
    const std::size_t at = text.find("\"hashes\"");
    return text.replace(at, 8, "\"hashez\"");
  }();
  EXPECT_THAT(refusal_of(renamed), HasSubstr("no tensor 'hashes'"));
  Parts parts = parts_of(good_);
  fs::remove(path_);
  File file = File::create(path_);
  std::vector<SafetensorsTensor> tensors = {{kPackedHashes, StoredType::u8, {1, 16}}};
  std::string bytes(16, 'h');
  for (const auto& part : parts.tensors) {
    tensors.push_back(part.tensor);
    bytes += part.bytes;
  }
  SafetensorsWriter writer(file, tensors, parts.metadata);
  writer.append(std::as_bytes(std::span(bytes)));
  writer.finish();
  EXPECT_THAT(refusal(), HasSubstr("'hashes': expected U8 [1,16] at the end of the file"));
}

// byte b of row r of tile t of the matrix (24, 40): codes of the columns 16 (t % 3) + b, + 4, ...
char& code_byte(Parts& parts, int tile, int row, int b) {
  return parts.at(kMatrix).bytes[std::size_t(64 * tile + 4 * row + b)];
}

TEST_F(Fault319, CodesThatAreNoneAreNamedWithTheirPlace) {
  EXPECT_THAT(refusal_with([](Parts& p) { code_byte(p, 1, 2, 3) |= 3 << 4; }),
              AllOf(HasSubstr(kMatrix), HasSubstr("row 2, column 27: expected the code 0, 1 or 2"),
                    HasSubstr("got 3")));
  EXPECT_THAT(refusal_with([](Parts& p) { code_byte(p, 5, 0, 0) ^= 1 << 4; }),
              HasSubstr("row 16, column 40: expected the code 1, beyond the matrix, got 0"));
  EXPECT_THAT(refusal_with([](Parts& p) { code_byte(p, 3, 8, 0) ^= 3; }),
              HasSubstr("row 24, column 0: expected the code 1, beyond the matrix, got 2"));
}

TEST_F(Fault319, ScalesArePositiveNumbers) {
  for (const float bad : {0.f, -1.f, float(NAN), float(INFINITY)}) {
    const auto put = [&](std::string& bytes, std::size_t i) {
      std::memcpy(bytes.data() + i * sizeof bad, &bad, sizeof bad);
    };
    EXPECT_THAT(refusal_with([&](Parts& p) { put(p.at("lm_head.weight_scale").bytes, 0); }),
                HasSubstr("'lm_head.weight_scale': element 0: expected a finite number > 0, got "))
        << bad;
    EXPECT_THAT(
        refusal_with([&](Parts& p) { put(p.at("model.embeddings.weight_scale").bytes, 7); }),
        HasSubstr("element 7: expected a finite number > 0"))
        << bad;
  }
}

TEST_F(Fault319, NumbersAreFinite) {
  const float infinity = INFINITY;
  EXPECT_THAT(refusal_with([&](Parts& p) {
                std::memcpy(p.at("model.norm.weight").bytes.data() + 8, &infinity, 4);
              }),
              HasSubstr("'model.norm.weight': element 2: expected a finite number"));
  EXPECT_THAT(refusal_with([](Parts& p) {
                p.erase("model.embeddings.weight_scale");
                Parts::Part& table = p.at("model.embeddings.weight");
                table.tensor.type = StoredType::bf16;
                table.bytes.append(table.bytes.size(), '\0');
                table.bytes[11] = char(0xff), table.bytes[10] = char(0x81);
              }),
              HasSubstr("'model.embeddings.weight': element 5: expected a finite number"));
}

TEST_F(Fault319, ATokenizerIsOneOfTheModelsSize) {
  EXPECT_THAT(refusal_with([](Parts& p) {
                p.at(kPackedTokenizer).bytes = "no tokenizer";
                p.at(kPackedTokenizer).tensor.shape = {12};
              }),
              HasSubstr("m.safetensors"));
  EXPECT_EQ(refusal_with([](Parts& p) { p.erase(kPackedTokenizer); }), "");
  const Outcome outcome =
      run({.args = {sibling_program("tern"), "generate", "--checkpoint", path_, "--prompt", "a"}});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("--tokenizer"));
}

TEST_F(Fault319, TheCommandSaysOneLineAndExitsWith3) {
  write_text(path_, read_text(good_).substr(0, 5000));
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{"generate", "--checkpoint", path_},
        {"eval", "--checkpoint", path_, "--data", tiny_corpus().string()},
        {"trace", "--checkpoint", path_, "--tokens", "1", "--out", room_ / "trace"},
        {"inspect", path_}}) {
    std::vector<std::string> all = args;
    all.insert(all.begin(), sibling_program("tern"));
    const Outcome outcome = run({.args = all});
    EXPECT_EQ(outcome.exit_code, 3) << args[0];
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  }
}

TEST_F(Fault320, AFileThatIsTruncatedInUseEndsTheProgramWithOneLine) {
  fs::copy(good_, path_);
  Process generate({.args = {sibling_program("tern"), "generate", "--checkpoint", path_, "--prompt",
                             "ROMEO:", "-n", "10000000", "--temperature", "0"},
                    .env = {{"OMP_NUM_THREADS", "1"}}});
  ASSERT_TRUE(generate.wait_for("ROMEO:"));
  File::open_to_write(path_).resize(0);
  const Outcome outcome = generate.wait();
  EXPECT_EQ(outcome.exit_code, 3) << outcome.signal;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("tern: error: " + path_), HasSubstr("truncated")));
  EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
}

}  // namespace
}  // namespace tern::test
