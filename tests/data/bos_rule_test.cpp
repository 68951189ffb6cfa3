// Whether bos is put before a text: what the files of a tokenizer say.
#include "data/tokenizer/bos_rule.h"

#include <gtest/gtest.h>

#include "data/tokenizer/huggingface_files.h"
#include "tests/data/json_fixture.h"
#include "tests/data/tokenizer_fixture.h"
#include "tests/support/complaint.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

class BosRuleOf : public testing::Test {
 protected:
  // of a folder with these files; "": not there
  BosRule rule(const std::string& config, const std::string& json, bool model = false) {
    for (const auto& [name, text] :
         {std::pair(kTokenizerConfigName, config), {kJsonFileName, json}}) {
      std::filesystem::remove(room_.path() / name);
      if (!text.empty()) write_text(room_.path() / name, text);
    }
    if (model) write_text(room_.path() / kModelFileName, tokenizer_.file());
    return bos_rule(room_.path(), tokenizer_);
  }
  const Tokenizer tokenizer_ = small_tokenizer();
  TemporaryDirectory room_;
};

const std::string kTemplate =
    R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A"}}]})";

TEST_F(BosRuleOf, AModelAloneAddsIt) {
  EXPECT_TRUE(rule("", "", true).add);
  EXPECT_EQ(rule("", "", true).reason, "the default of SentencePiece models");
  write_text(room_ / "mine.model", tokenizer_.file());
  write_text(room_.path() / kTokenizerConfigName, R"({"add_bos_token": false})");
  EXPECT_TRUE(bos_rule(room_ / "mine.model", tokenizer_).add) << "another tokenizer's neighbour";
  EXPECT_FALSE(bos_rule(room_.path() / kModelFileName, tokenizer_).add);
}

TEST_F(BosRuleOf, TheConfigurationDecidesFirst) {
  const std::string json = R"({"post_processor": )" + kTemplate + "}";
  EXPECT_FALSE(rule(R"({"add_bos_token": false})", json).add);
  EXPECT_TRUE(rule(R"({"add_bos_token": true})", R"({"post_processor": null})").add);
  EXPECT_EQ(rule(R"({"add_bos_token": true})", "").reason, "tokenizer_config.json: add_bos_token");
  EXPECT_TRUE(rule(R"({"tokenizer_class": "LlamaTokenizer"})", R"({"post_processor": null})").add);
  EXPECT_FALSE(rule(R"({"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": null})",
                    R"({"post_processor": null})")
                   .add);
}

TEST_F(BosRuleOf, ThePostProcessorDecidesNext) {
  EXPECT_TRUE(rule("", R"({"post_processor": )" + kTemplate + "}").add);
  EXPECT_TRUE(
      rule("", R"({"post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, )" +
                   kTemplate + "]}}")
          .add);
  for (const std::string processor :
       {R"(null)", R"({"type": "ByteLevel"})", R"({"type": "Sequence", "processors": []})",
        R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}]})",
        R"({"type": "TemplateProcessing", "single": []})", R"("x")"}) {
    const BosRule found = rule("", R"({"post_processor": )" + processor + "}");
    EXPECT_FALSE(found.add) << processor;
    EXPECT_EQ(found.reason, "tokenizer.json: post_processor");
  }
  EXPECT_FALSE(rule("", "{}").add);
}

TEST_F(BosRuleOf, BrokenFilesAreNamed) {
  EXPECT_NE(complaint([&] { rule("[]", ""); }).find("tokenizer_config.json: expected an object"),
            std::string::npos);
  EXPECT_NE(complaint([&] { rule("{", ""); }).find("tokenizer_config.json: not valid JSON"),
            std::string::npos);
}

}  // namespace
}  // namespace tern
