// Row 29: a run is resumed with another tokenizer or with other data than it has read so far.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/apps/tiny_run.h"

namespace tern::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
namespace fs = std::filesystem;

class Fault29 : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(run(run_.command("r", {"run.steps=20"})).exit_code, 0);
    before_ = tensors(run_.checkpoint("r", 20));
  }
  // Text that begins at `from`, prepared with a tokenizer that was trained on it or a given one.
  std::string corpus(const std::string& name, std::size_t from, std::string tokenizer = {}) const {
    const std::string text = run_.room() / (name + ".txt");
    write_text(text, read_text("configs/demo/tinyshakespeare.txt").substr(from, 60'000));
    if (tokenizer.empty()) {
      tokenizer = run_.room() / (name + ".model");
      call({"tokenizer", "train", "--vocab-size", "320", "--out", tokenizer, text});
    }
    const std::string out = run_.room() / name;
    call({"prepare", "--tokenizer", tokenizer, "--out", out, "--validation", "0.1", text});
    return out;
  }
  static void call(std::vector<std::string> args) {
    args.insert(args.begin(), sibling_program("tern"));
    const Outcome outcome = run({.args = args});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  Outcome resumed_with(const std::string& data) const {
    return run(
        run_.command("r", {"run.steps=40", "data.source.0.path=" + data}, {"--resume", "auto"}));
  }
  void expect_untouched() const {
    EXPECT_EQ(tensors(run_.checkpoint("r", 20)), before_);
    EXPECT_FALSE(fs::exists(run_.checkpoint("r", 40)));
  }
  const TinyRun run_;
  std::map<std::string, std::string> before_;
};

TEST_F(Fault29, AnotherTokenizerOfTheSameSizeIsRefused) {
  const Outcome outcome = resumed_with(corpus("other", 200'000));
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("tokenizer"), HasSubstr("hash")));
  expect_untouched();
}

TEST_F(Fault29, OtherTextWithTheSameTokenizerIsRefused) {
  const Outcome outcome =
      resumed_with(corpus("text", 200'000, (tiny_corpus() / "tokenizer.model").string()));
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("differs from the data that this run has read so far"));
  expect_untouched();
}

TEST_F(Fault29, TheSameDataAtAnotherPlaceIsNot) {
  const fs::path moved = run_.room() / "moved";
  fs::copy(tiny_corpus(), moved, fs::copy_options::recursive);
  const Outcome outcome = resumed_with(moved.string());
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(fs::exists(run_.checkpoint("r", 40)));
}

}  // namespace
}  // namespace tern::test
