// tern export --to rtl: a checkpoint's image runs as the checkpoint does in the accelerator's
// arithmetic; damaged ones are refused in one line.
#include "apps/rtl/model_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "apps/run/open_model.h"
#include "data/io/hash.h"
#include "layers/decode_model.h"
#include "rtl/model/fixed_model.h"
#include "runtime/packed_model.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/complaint.h"

namespace tern::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
namespace fs = std::filesystem;

Outcome tern(std::vector<std::string> args) {
  args.insert(args.begin(), sibling_program("tern"));
  return run({.args = args, .env = {{"OMP_NUM_THREADS", "1"}}});
}

class ModelImages : public testing::Test {
 protected:
  // A model of odd sizes with a tokenizer.
  static void SetUpTestSuite() {
    run_ = new TinyRun;
    const Outcome outcome = ::tern::run(
        run_->command("r", {"run.steps=3", "model.hidden_size=21", "model.intermediate_size=40"}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    checkpoint_ = run_->checkpoint("r", 3).string();
  }
  static void TearDownTestSuite() { delete run_; }

  Outcome export_to(const std::string& to, const std::vector<std::string>& options = {}) const {
    std::vector<std::string> args = {"export", "--checkpoint", checkpoint_, "--to",
                                     "rtl",    "--out",        to};
    args.insert(args.end(), options.begin(), options.end());
    return tern(args);
  }

  static TinyRun* run_;
  static std::string checkpoint_;
  TemporaryDirectory room_;
  const std::string path_ = room_ / "m.img";
};
TinyRun* ModelImages::run_ = nullptr;
std::string ModelImages::checkpoint_;

using Fault325 = ModelImages;

TEST_F(ModelImages, RunAsTheCheckpointDoesAtEveryWidth) {
  const SavedModel saved = open_model(checkpoint_);
  const LoadedModel loaded =
      load_model(saved, Device("cpu"), [](Model& m) { decode_model(m, m.new_state(1)); });
  rtl::FixedModel fixed(*decode_model(*loaded.model, loaded.model->new_state(1)));
  std::vector<rtl::Vector> expected;
  const std::vector<std::int32_t> ids = {1, 17, 300, 5, 5, 319, 2};
  for (const std::int32_t id : ids) expected.push_back(fixed.step(id));
  for (const char* width : {"8", "64", "128", "256", "512"}) {
    const Outcome outcome = export_to(path_, {"--width", width});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr(std::string("for a port of ") + width + " bits"));
    ModelImage model = open_image(path_);
    EXPECT_EQ(std::to_string(model.image.header().sizes.port_bits), width);
    EXPECT_EQ(model.config, saved.config.model);
    ASSERT_TRUE(model.tokenizer);
    EXPECT_EQ(model.tokenizer->hash(), saved.tokenizer->hash());
    rtl::Executor executor = model.image.executor();
    for (std::size_t t = 0; t < ids.size(); ++t) {
      executor.run(std::uint32_t(ids[t]));
      EXPECT_EQ(model.image.sums(), expected[t]) << width << ' ' << t;
    }
    EXPECT_EQ(model.image.state(), fixed.state());
  }
}

TEST_F(ModelImages, OfAPackedFileAreTheSame) {
  const std::string packed = room_ / "m.safetensors";
  export_packed(open_model(checkpoint_), packed, {.embedding = StoredType::f32});
  export_image(open_model(checkpoint_), path_, 64);
  export_image(open_model(packed), room_ / "p.img", 64);
  EXPECT_EQ(read_text(path_).substr(256), read_text(room_ / "p.img").substr(256));
}

TEST_F(ModelImages, OptionsAndPlacesThatDoNotFitAreRefused) {
  const Outcome width = export_to(path_, {"--width", "32"});
  EXPECT_EQ(width.exit_code, 2);
  EXPECT_THAT(width.err, HasSubstr("--width"));
  EXPECT_THAT(export_to(path_, {"--dtype", "bf16"}).err, HasSubstr("--dtype: goes with --to hf"));
  const Outcome hf = tern({"export", "--checkpoint", checkpoint_, "--to", "hf", "--out",
                           room_ / "hf", "--width", "64"});
  EXPECT_THAT(hf.err, HasSubstr("--width: goes with --to rtl only"));
  write_text(path_, "a diary");
  const Outcome taken = export_to(path_);
  EXPECT_EQ(taken.exit_code, 2);
  EXPECT_THAT(taken.err, HasSubstr("got something else: remove it first"));
  EXPECT_EQ(read_text(path_), "a diary");
}

TEST_F(ModelImages, ModelsThatTheAcceleratorDoesNotComputeAreRefused) {
  ASSERT_EQ(::tern::run(run_->command("t", {"run.steps=1", "model.type=transformer",
                                            "model.hidden_size=16", "model.num_attention_heads=2"}))
                .exit_code,
            0);
  const Outcome outcome = tern(
      {"export", "--checkpoint", run_->checkpoint("t", 1).string(), "--to", "rtl", "--out", path_});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("expected a ternary MatMul-free model"));
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(Fault325, AFlippedBitAnywhereIsNoticed) {
  export_image(open_model(checkpoint_), path_, 64);
  const std::string good = read_text(path_);
  ASSERT_EQ(complaint([&] { open_image(path_); }), "");
  const auto refusal_of = [&](const std::string& bytes) {
    write_text(path_, bytes);
    try {
      open_image(path_);
      return std::string();
    } catch (const Error& e) {
      EXPECT_EQ(e.fault, Fault::input) << e.what();
      return std::string(e.what());
    }
  };
  for (std::size_t at = 0; at < good.size(); at += at < 512 ? 1 : 997) {
    std::string bad = good;
    bad[at] ^= 1 << at % 8;
    const std::string text = refusal_of(bad);
    EXPECT_TRUE(text.starts_with(path_)) << at << ' ' << text;
    EXPECT_EQ(text.find('\n'), text.npos) << text;
  }
  std::string bad = good;
  bad[good.size() / 2] ^= 1;
  EXPECT_THAT(refusal_of(bad), AllOf(HasSubstr("expected the hash "), HasSubstr("copy it again")));
  for (const std::size_t bytes : {std::size_t(0), std::size_t(100), good.size() / 2})
    EXPECT_THAT(refusal_of(good.substr(0, bytes)), HasSubstr("got " + std::to_string(bytes)));
}

// Files with hashes that are right, whose parts belong to different models.
TEST_F(Fault325, PartsOfAnotherModelAreNamed) {
  export_image(open_model(checkpoint_), path_, 64);
  const std::string good = read_text(path_);
  const auto refusal_with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, text.npos) << from;
    text.replace(at, from.size(), to);
    constexpr std::size_t kHashAt = offsetof(rtl::ImageHeader, hash);
    std::fill_n(text.begin() + kHashAt, sizeof(HashBytes), '\0');
    const HashBytes hash = hash_bytes(std::as_bytes(std::span(text)));
    std::memcpy(text.data() + kHashAt, hash.data(), hash.size());
    write_text(path_, text);
    return complaint([&] { open_image(path_); });
  };
  EXPECT_EQ(refusal_with("\"hidden_size\":21", "\"hidden_size\":21"), "");
  EXPECT_THAT(refusal_with("\"hidden_size\":21", "\"hidden_size\":22"),
              HasSubstr("header: hidden_size: expected 22 of the configuration, got 21"));
  EXPECT_THAT(refusal_with("\"num_hidden_layers\":2", "\"num_hidden_layers\":3"),
              HasSubstr("num_hidden_layers: expected 3"));
  EXPECT_THAT(refusal_with("\"vocab_size\":320", "\"vocab_size\":319"),
              HasSubstr("vocab_size: expected 319"));
  EXPECT_THAT(refusal_with("\"intermediate_size\":40", "\"intermediate_size\":41"),
              HasSubstr("intermediate_size: expected 41"));
  EXPECT_THAT(refusal_with("\"hidden_size\"", "\"hidden_sizz\""), HasSubstr("hidden_siz"));
}

// Refused before memory is taken for it.
TEST_F(Fault325, AFileThatIsLargerThanItsHeaderSaysIsRefused) {
  const std::uint64_t bytes = export_image(open_model(checkpoint_), path_, 64);
  std::filesystem::resize_file(path_, std::uint64_t(1) << 40);
  EXPECT_THAT(complaint([&] { open_image(path_); }),
              HasSubstr("expected " + std::to_string(bytes) +
                        " bytes, as its header says, got 1099511627776"));
}

TEST_F(Fault325, InspectShowsImagesOrSaysOneLineAndExitsWith3) {
  ASSERT_EQ(export_to(path_, {"--width", "128"}).exit_code, 0);
  const Outcome good = tern({"inspect", path_, "--all"});
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_THAT(good.out, AllOf(HasSubstr("D 21, L 2, H 40, V 320"), HasSubstr("8 x 8 weights"),
                              HasSubstr("\nhalt\n"), HasSubstr("good: every byte")));
  std::string bad = read_text(path_);
  bad.resize(bad.size() - 7);
  write_text(path_, bad);
  const Outcome outcome = tern({"inspect", path_});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("truncated or damaged"));
}

}  // namespace
}  // namespace tern::test
