// tern tokenizer encode, decode and export, as people call them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/apps/tiny_run.h"

namespace tern::test {
namespace {

Outcome tokenizer(std::vector<std::string> args, const std::string& input = "") {
  args.insert(args.begin(), {sibling_program("tern"), "tokenizer"});
  return run({.args = std::move(args), .input = input});
}

TEST(TokenizerCommand, IdsAndBack) {
  const std::string model = tiny_corpus() / "tokenizer.model";
  const std::string text = "The king  \n\xff\u2581";
  const Outcome ids = tokenizer({"encode", "--tokenizer", model}, text);
  EXPECT_EQ(ids.exit_code, 0) << ids.err;
  EXPECT_THAT(ids.out, testing::MatchesRegex("([0-9]+ )+[0-9]+\n"));
  EXPECT_EQ(tokenizer({"decode", "--tokenizer", model}, ids.out).out, text);
  EXPECT_EQ(tokenizer({"encode", "--tokenizer", model}).out, "\n");
  const Outcome wrong = tokenizer({"decode", "--tokenizer", model}, "12 x");
  EXPECT_EQ(wrong.exit_code, 3);
  EXPECT_THAT(wrong.err, testing::HasSubstr("byte 3: expected token ids"));
}

TEST(TokenizerCommand, ExportedFilesAreTheSameTokenizer) {
  const TemporaryDirectory d;
  const std::string model = tiny_corpus() / "tokenizer.model", out = d / "new/folder";
  const Outcome files = tokenizer({"export", "--tokenizer", model, "--out", out});
  EXPECT_EQ(files.exit_code, 0) << files.err;
  EXPECT_EQ(files.out, out + "/tokenizer.model\n" + out + "/tokenizer.json\n" + out +
                           "/tokenizer_config.json\n");
  const std::string json = out + "/tokenizer.json", text = "the  king's\n\n12 <s> \u4f60";
  EXPECT_EQ(tokenizer({"encode", "--tokenizer", json}, text).out,
            tokenizer({"encode", "--tokenizer", model}, text).out);
  const Outcome again = tokenizer({"export", "--tokenizer", model, "--out", out});
  EXPECT_EQ(again.exit_code, 2) << "two tokenizers must not be mixed in one folder";
  EXPECT_THAT(again.err, testing::HasSubstr("tokenizer.model: is there already"));
}

}  // namespace
}  // namespace tern::test
