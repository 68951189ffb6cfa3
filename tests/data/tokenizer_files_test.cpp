// Tokenizers as files: which file is read, what a hash means, corpora, and files for other
// programs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include "data/tokenizer/huggingface_files.h"
#include "tests/data/json_fixture.h"
#include "tests/data/prepare_fixture.h"

namespace tern {
namespace {

using Ids = std::vector<std::int32_t>;
using testing::HasSubstr;

Tokenizer made(const Json& json) {
  return Tokenizer::parse(json.dump(), "t.json");
}

std::string exported(const Tokenizer& tokenizer, std::string_view name) {
  for (const auto& [file, content] : huggingface_tokenizer_files(tokenizer))
    if (file == name) return content;
  return "";
}

// a model whose pieces have distinct scores, and runs of spaces equal ones as Mistral's
ModelFile spaced_model() {
  ModelFile file =
      model_file({"\u2581", "t", "h", "e", "a", "th", "\u2581the", "the", "aa", "aaaa", "aaa"});
  for (const int n : {2, 4, 3, 7, 5, 6, 8}) {
    std::string run;
    for (int i = 0; i < n; ++i) run += "\u2581";
    file.pieces.push_back({run, -1e9F, 1});
  }
  return file;
}

TEST(TokenizerFiles, ModelAndItsJsonAreTheSameTokenizer) {
  ModelFile prefixed = spaced_model(), user = spaced_model();
  prefixed.dummy_prefix = true;
  user.pieces.push_back({"he\u2581", 0, 4});
  for (const Tokenizer& t :
       {small_tokenizer(), Tokenizer::parse(spaced_model().bytes(), "m"),
        Tokenizer::parse(prefixed.bytes(), "m"), Tokenizer::parse(user.bytes(), "m")}) {
    const std::string json = exported(t, kJsonFileName);
    ASSERT_NE(json, "");
    Json with_tokens = Json::parse(json);
    with_tokens["bos_token"] = "<s>";
    const Tokenizer other = made(with_tokens);
    EXPECT_EQ(other.file_name(), kJsonFileName);
    EXPECT_EQ(t.file_name(), kModelFileName);
    EXPECT_EQ(other.hash(), made(Json::parse(json)).hash());
    EXPECT_EQ(other.bos_id(), 1);
    EXPECT_EQ(other.hash() == t.hash(), t.eos_id() == other.eos_id());
    EXPECT_EQ(other.decode(other.encode("  the\n")), "  the\n");
    for (const std::string text : {"\xffthe", "\xff", "the\xff the", "\xe4\xbd", " \xff"})
      EXPECT_EQ(other.encode(text), t.encode(text)) << text;
  }
}

// Hostile text and text over two characters, against SentencePiece itself.
TEST(TokenizerFiles, GeneratedJsonGivesTheIdsOfSentencePiece) {
  std::mt19937_64 random(21);
  ModelFile prefixed = spaced_model(), user = spaced_model();
  prefixed.dummy_prefix = true;
  user.pieces.push_back({"he\u2581", 0, 4});
  user.pieces.push_back({"\n\n", 0, 4});
  for (const Tokenizer& t :
       {small_tokenizer(), Tokenizer::parse(spaced_model().bytes(), "m"),
        Tokenizer::parse(prefixed.bytes(), "m"), Tokenizer::parse(user.bytes(), "m")}) {
    sentencepiece::SentencePieceProcessor reference;
    ASSERT_TRUE(reference.LoadFromSerializedProto(t.file()).ok());
    const Tokenizer json = made(Json::parse(exported(t, kJsonFileName)));
    const auto expect_equal = [&](const std::string& text) {
      ASSERT_EQ(json.encode(text), reference.EncodeAsIds(text)) << testing::PrintToString(text);
    };
    for (int i = 0; i < 1000; ++i) {
      std::string text = random_text(random, 1 + random() % 40, false);
      std::erase(text, '\0');
      for (std::size_t at; (at = text.find("\u2581")) != text.npos;) text.erase(at, 3);
      if (!text.empty()) expect_equal(text);
      std::string few;
      const char* const letters[] = {"a ", "a", "the ", " \n", "ath e"};
      const std::string from = letters[i % 5];
      while (few.size() < 1 + random() % 60) few += from[random() % from.size()];
      expect_equal(few);
    }
    for (std::size_t n = 1; n < 200; ++n) expect_equal("the" + std::string(n, ' ') + "the<0x41>\n");
  }
}

TEST(TokenizerFiles, HashesAreOfTheContent) {
  const Tokenizer& model = small_tokenizer();
  EXPECT_TRUE(model.is(model.hash()));
  EXPECT_TRUE(model.is(hash_hex(std::as_bytes(std::span(model.file()))))) << "of earlier releases";
  EXPECT_FALSE(model.is(""));
  EXPECT_FALSE(model.is(std::string(32, 'a')));
  const Json json = byte_level_json({{"<s>", "s"}, {"<x>"}});
  const std::string hash = made(json).hash();
  EXPECT_EQ(Tokenizer::parse(json.dump(3) + "\n", "t").hash(), hash) << "white space";
  EXPECT_FALSE(made(json).is("")) << "there is no hash of the file";
  const Json merges = json["model"]["merges"];
  Json swapped = merges;
  std::swap(swapped[0], swapped[1]);
  const std::pair<const char*, Json> changes[] = {
      {"/added_tokens/1/lstrip", true},
      {"/added_tokens/1/rstrip", true},
      {"/added_tokens/1/single_word", true},
      {"/added_tokens/1/normalized", true},
      {"/added_tokens/1/special", true},
      {"/model/ignore_merges", true},
      {"/model/unk_token", "a"},
      {"/normalizer", {{"type", "NFC"}}},
      {"/pre_tokenizer/add_prefix_space", true},
      {"/pre_tokenizer", llama3_json()["pre_tokenizer"]},
      {"/eos_token", "<s>"},
      {"/model/merges", swapped},
  };
  for (const auto& [place, value] : changes) {
    Json other = json;
    ASSERT_NE(other[Json::json_pointer(place)], value) << place;
    other[Json::json_pointer(place)] = value;
    EXPECT_NE(made(other).hash(), hash) << place;
  }
  Json same = json;
  same["post_processor"] = {{"type", "TemplateProcessing"}};
  same["truncation"] = {{"max_length", 5}};
  EXPECT_EQ(made(same).hash(), hash);
}

TEST(TokenizerFiles, FoldersAndTheTokensNamedBesideAFile) {
  const TemporaryDirectory d;
  const auto bos_and_eos = [&] {
    const Tokenizer t = Tokenizer::load(d.path());
    return std::pair(t.bos_id(), t.eos_id());
  };
  EXPECT_THAT(message_of(Fault::input, [&] { Tokenizer::load(d.path()); }),
              HasSubstr("expected tokenizer.model or tokenizer.json in this folder"));
  const std::string text = byte_level_json({{"<s>", "s"}, {"</s>", "s"}, {"<x>", "s"}}).dump(2);
  write_text(d / "tokenizer.json", text);
  EXPECT_EQ(bos_and_eos(), std::pair(269, 270)) << "well-known names";
  write_text(d / "special_tokens_map.json",
             R"({"bos_token": "<x>", "eos_token": {"content": "<s>"}})");
  EXPECT_EQ(bos_and_eos(), std::pair(271, 269));
  write_text(d / "tokenizer_config.json", R"({"bos_token": null})");
  EXPECT_EQ(bos_and_eos(), std::pair(-1, 269));
  const Tokenizer t = Tokenizer::load(d / "tokenizer.json");
  EXPECT_EQ(Tokenizer::parse(t.file(), "t").hash(), t.hash()) << "the file alone says it";
  EXPECT_EQ(Tokenizer::parse(t.file(), "t").bos_id(), -1);
  EXPECT_EQ(exported(t, kJsonFileName), text) << "to the byte";
  EXPECT_THAT(exported(t, "tokenizer_config.json"), HasSubstr("\"eos_token\": \"<s>\""));
  write_text(d / "tokenizer_config.json", R"({"bos_token": "<y>"})");
  EXPECT_THAT(message_of(Fault::input, bos_and_eos),
              HasSubstr("bos_token: expected a token of this file"));
  write_text(d / "tokenizer_config.json", R"({"bos_token": 5})");
  EXPECT_THAT(message_of(Fault::input, bos_and_eos), HasSubstr("tokenizer_config.json: bos_token"));

  std::filesystem::remove(d / "tokenizer_config.json");
  write_text(d / "tokenizer.model", small_tokenizer().file());
  EXPECT_EQ(Tokenizer::load(d.path()).file_name(), kJsonFileName) << "they differ";
  std::filesystem::remove(d / "special_tokens_map.json");
  write_text(d / "tokenizer.json", exported(small_tokenizer(), kJsonFileName));
  EXPECT_EQ(Tokenizer::load(d.path()).file_name(), kModelFileName) << "they are the same";
}

TEST(TokenizerFiles, ModelsBeyondMergesAreExportedAsTheyAre) {
  ModelFile equal = model_file({"\u2581", "a", "b", "ab", "ba"}), unused = equal;
  equal.pieces.back().score = equal.pieces[equal.pieces.size() - 2].score;
  unused.pieces.back().kind = 5;
  for (const std::string& bytes : {default_sentencepiece_model(), equal.bytes(), unused.bytes()}) {
    std::string notice;
    const auto files = huggingface_tokenizer_files(Tokenizer::parse(bytes, "m"),
                                                   [&](const std::string& text) { notice = text; });
    ASSERT_EQ(files.size(), 1u);
    EXPECT_EQ(files[0].first, "tokenizer.model");
    EXPECT_THAT(notice, HasSubstr("without tokenizer.json"));
  }
}

TEST(TokenizerFiles, CorporaOfATokenizerJson) {
  const PrepareFixture f;
  std::filesystem::create_directories(f / "t");
  write_text(f / "t/tokenizer.json", llama3_json().dump());
  write_text(f / "a.txt", english());
  PrepareOptions options = f.options("out", {f / "a.txt"});
  options.tokenizer = f / "t";
  options.layout = {.bos = true, .eos = false};
  prepare_corpus(options, no_report);
  const Tokenizer t = Tokenizer::load(f / "t");
  Ids expected = t.encode(english());
  expected.insert(expected.begin(), t.bos_id());
  EXPECT_EQ(f.ids("out"), expected);
  EXPECT_FALSE(std::filesystem::exists(f / "out/tokenizer.model"));
  const Corpus corpus = Corpus::open(f / "out", Split::train);
  EXPECT_EQ(corpus.tokenizer().hash(), t.hash());
  EXPECT_EQ(corpus.tokenizer().decode(expected), english());
  EXPECT_TRUE(prepare_corpus(options, no_report).was_finished);
  write_text(f / "out/tokenizer.json", byte_level_json().dump());
  EXPECT_THAT(message_of(Fault::input, [&] { corpus.tokenizer(); }),
              HasSubstr("is not the tokenizer"));
}

// A corpus of a release whose hashes were those of the file.
TEST(TokenizerFiles, CorporaOfEarlierReleases) {
  const PrepareFixture f;
  write_text(f / "a.txt", english());
  const PrepareOptions options = f.options("out", {f / "a.txt"});
  prepare_corpus(options, no_report);
  std::string manifest = read_text(f / "out/manifest.json");
  const std::string& now = small_tokenizer().hash();
  const std::string then = hash_hex(std::as_bytes(std::span(small_tokenizer().file())));
  ASSERT_NE(now, then);
  int places = 0;
  for (std::size_t at; (at = manifest.find(now)) != manifest.npos; ++places)
    manifest.replace(at, now.size(), then);
  EXPECT_EQ(places, 2) << "the tokenizer's and the arguments'";
  write_text(f / "out/manifest.json", manifest);
  EXPECT_EQ(Corpus::open(f / "out", Split::train).tokenizer().hash(), now);
  EXPECT_TRUE(prepare_corpus(options, no_report).was_finished);
  EXPECT_THAT(verify_corpus(f / "out", true, [](std::uint64_t, std::uint64_t) {}),
              testing::IsEmpty());
}

}  // namespace
}  // namespace tern
