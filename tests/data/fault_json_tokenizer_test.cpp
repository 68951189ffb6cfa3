// Row 46: tokenizer.json files that are damaged, hostile, or describe what tern does not do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/json_fixture.h"
#include "tests/data/prepare_fixture.h"

namespace tern {
namespace {

using testing::HasSubstr;

std::string refusal(const std::string& bytes) {
  return message_of(Fault::input, [&] { Tokenizer::parse(bytes, "t.json").encode("x"); });
}

std::string refusal_with(Json json, const std::string& place, const Json& value) {
  json[Json::json_pointer(place)] = value;
  return refusal(json.dump());
}

TEST(Fault46, UnsupportedPartsOfTokenizerJsonAreNamed) {
  const Json prepend = {{"type", "Prepend"}, {"prepend", "\u2581"}};
  const Json split = {{"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "Removed"}};
  const struct {
    const char* place;
    Json value;
    const char* message;
  } cases[] = {
      {"/model/type", "Unigram", "t.json: model.type: expected BPE, got \"Unigram\""},
      {"/model/type", "WordPiece", "got \"WordPiece\""},
      {"/model/dropout", 0.1, "model.dropout: expected no dropout, got 0.1"},
      {"/model/continuing_subword_prefix", "##", "continuing_subword_prefix: expected nothing"},
      {"/model/end_of_word_suffix", "</w>", "end_of_word_suffix: expected nothing"},
      {"/model/byte_fallback", true, "byte_fallback: expected false with ByteLevel"},
      {"/normalizer", {{"type", "NFKC"}}, "normalizer.type: expected NFC"},
      {"/normalizer", {{"type", "Prepend"}, {"prepend", "_"}}, "normalizer.prepend: expected"},
      {"/normalizer",
       {{"type", "Sequence"}, {"normalizers", {prepend, prepend}}},
       "expected one Prepend"},
      {"/pre_tokenizer", nullptr, "pre_tokenizer: expected ByteLevel"},
      {"/pre_tokenizer",
       {{"type", "Whitespace"}},
       "expected Split, Digits, ByteLevel or Metaspace"},
      {"/pre_tokenizer", split, "behavior: expected Isolated, got \"Removed\""},
      {"/decoder", {{"type", "WordPiece"}}, "decoder.type: expected ByteLevel, got \"WordPiece\""},
  };
  for (const auto& c : cases)
    EXPECT_THAT(refusal_with(byte_level_json(), c.place, c.value), HasSubstr(c.message)) << c.place;
}

TEST(Fault46, DefectsOfTokenizerJsonAreNamed) {
  const Json good = byte_level_json();
  ASSERT_EQ(refusal(good.dump()), "");
  EXPECT_THAT(refusal("{\"model\": "), HasSubstr("t.json: not valid JSON"));
  EXPECT_THAT(refusal("{}"), HasSubstr("t.json: model: expected an object, got nothing"));
  EXPECT_THAT(refusal_with(good, "/model/vocab/A", 66), HasSubstr("id 66 is there twice"));
  EXPECT_THAT(refusal_with(good, "/model/vocab/A", -1), HasSubstr("expected an id below 1000000"));
  EXPECT_THAT(refusal_with(good, "/model/vocab/A", 900'000), HasSubstr("without large gaps"));
  EXPECT_THAT(refusal_with(good, "/model/vocab/A", "x"), HasSubstr("model.vocab: expected an id"));
  EXPECT_THAT(refusal_with(good, "/model/merges/1", "t zz"),
              HasSubstr("model.merges[1]: expected pieces of the vocabulary that join to one"));
  EXPECT_THAT(refusal_with(good, "/model/merges/1", "a b c"), HasSubstr("two pieces with a space"));
  EXPECT_THAT(refusal_with(good, "/model/merges/1", {"a"}), HasSubstr("expected two pieces"));
  EXPECT_THAT(refusal_with(good, "/model/unk_token", "<unk>"),
              HasSubstr("a piece of the vocabulary"));
  EXPECT_THAT(refusal_with(good, "/added_tokens/0/id", 300),
              HasSubstr("added_tokens[0].id: expected 269"));
  EXPECT_THAT(refusal_with(good, "/bos_token", "<none>"), HasSubstr("bos_token: expected a token"));
  EXPECT_THAT(refusal_with(llama2_json(), "/model/vocab/<0x41>x", 68), HasSubstr("twice"));
  Json holes = llama2_json();
  holes["model"]["vocab"].erase("<0x41>");
  EXPECT_THAT(refusal(holes.dump()), HasSubstr("expected 256 byte pieces, got 255"));
  Json large = good;
  large["model"]["vocab"][std::string(20'000, 'x')] = 269;
  EXPECT_THAT(refusal(large.dump()), HasSubstr("pieces of 1 to 16384 B"));
}

TEST(Fault46, PatternsThatMeanSomethingElseAreRefused) {
  const auto pattern = [](const char* text) {
    Json json = llama3_json();
    json["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {{"Regex", text}};
    return refusal(json.dump());
  };
  EXPECT_EQ(pattern(kLlama3Pattern), "");
  for (const char* text :
       {"(?<=a)b", "(?<!a)b", "^a", "a$", "\\ba", "\\h", "\\Ga", "(a)\\1", "(?>a|b)c", "(?m:.)",
        "a{,3}", "a{1,3}+", "\\p{L&}", "\\p{sc=Han}", "[a[b]]", "[a&&b]", "a(?=bc)", "(?i)a"})
    EXPECT_THAT(pattern(text), HasSubstr("not supported")) << text;
  EXPECT_THAT(pattern("a*"), HasSubstr("matches an empty text"));
  EXPECT_THAT(pattern("(a"), HasSubstr("is no regular expression"));
  EXPECT_THAT(pattern("\\p{Nothing}"), HasSubstr("is no regular expression"));
}

TEST(Fault48, PatternsThatTakeTooLongAreNamed) {
  Json json = llama3_json();
  json["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {{"Regex", "(a|aa|aaa)+[bc]"}};
  const Tokenizer t = Tokenizer::parse(json.dump(), "t.json");
  EXPECT_THAT(message_of(Fault::input, [&] { t.encode(std::string(60'000, 'a')); }),
              HasSubstr("pattern (a|aa|aaa)+[bc]: byte 0 of a text: "));
}

TEST(Fault46, MutatedTokenizerJsonNeverCrashes) {
  std::mt19937_64 random(47);
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    std::string bytes = (i % 2 != 0 ? llama3_json() : llama2_json({{"the"}})).dump();
    for (int k = 0; k < 1 + i % 3; ++k) bytes[random() % bytes.size()] = char(random() % 128);
    try {
      const Tokenizer t = Tokenizer::parse(bytes, "t.json");
      t.decode(t.encode("The harbour  lay\n\tgrey \xff"));
    } catch (const Error& e) {
      EXPECT_EQ(e.fault, Fault::input) << e.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 50);
}

}  // namespace
}  // namespace tern
