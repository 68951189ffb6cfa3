// Ids of tokenizer.json files. Where numbers stand here, the `tokenizers` library 0.22.2 gave them
// for the same files, with encode_special_tokens = True.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "data/tokenizer/pre_tokenizer.h"
#include "tests/data/json_fixture.h"
#include "tests/data/tokenizer_fixture.h"

namespace tern {
namespace {

using Ids = std::vector<std::int32_t>;
using testing::ElementsAre;
using testing::ElementsAreArray;

Tokenizer made(const Json& json) {
  return Tokenizer::parse(json.dump(), "t.json");
}

Json with_added_tokens() {
  return byte_level_json(
      {{"<|endoftext|>", "s"}, {"<tool>"}, {"word", "w"}, {"<l>", "l"}, {"<r>", "r"}});
}

// U+180E is no white space in Oniguruma, U+0085 is.
TEST(JsonTokenizer, WhiteSpaceIsUnicodes) {
  const auto words = [](const char* pattern, const std::string& text) {
    std::vector<std::string> all;
    PreTokenizer({pattern}, "here").split(text, true, [&](std::size_t begin, std::size_t end) {
      all.push_back(text.substr(begin, end - begin));
    });
    return all;
  };
  EXPECT_THAT(words(R"( ?\p{L}+| ?[^\s\p{L}]+|\s+(?!\S)|\s+)", "a \u180e!\u0085b"),
              ElementsAre("a", " \u180e!", "\u0085", "b"));
  EXPECT_THAT(words(R"([\S]+)", "\u180e\u0085x"), ElementsAre("\u180e", "\u0085", "x"));
  // a script is a script, not its extensions: the full stop is used in it and is not of it
  EXPECT_THAT(words(R"(\p{Han}+)", "\u4e2d\u3002\u6587"),
              ElementsAre("\u4e2d", "\u3002", "\u6587"));
  EXPECT_THAT(words(R"([\P{Han}]+)", "\u4e2d\u3002\u30fc"), ElementsAre("\u4e2d", "\u3002\u30fc"));
  EXPECT_THAT(words(R"(\p{^Lu}+)", "aBc"), ElementsAre("a", "B", "c"));
  EXPECT_EQ(PreTokenizer({R"( ?\p{L}+| ?[^\s\p{L}]+|\s+(?!\S)|\s+)"}, "here")
                .split("a \u180e!", false, [](std::size_t, std::size_t) {}),
            1u)
      << "the second word may go on";
}

TEST(JsonTokenizer, ByteLevelIds) {
  const Tokenizer t = made(with_added_tokens());
  EXPECT_EQ(t.encode("the the  the\n\n12345 it's IT'S"),
            (Ids{257, 258, 32, 258, 10, 10, 264, 52, 53, 32, 105, 116, 265, 32, 73, 84, 39, 83}));
  EXPECT_EQ(t.encode("a <tool>word words <|endoftext|> x <l>  <r>  y"),
            (Ids{97,  32,  270, 271, 32,  119, 111, 114, 100, 115, 32,  60,  124, 101, 110,
                 100, 111, 102, 116, 101, 120, 116, 124, 62,  32,  120, 272, 266, 273, 121}));
  EXPECT_EQ(t.encode("e\u0301te\u0301 \u4f60\u180e \u0085x\u3000 aaaaa   \n x"),
            (Ids{101, 204, 129, 116, 101, 204, 129, 32,  228, 189, 160, 225, 160, 142, 32,
                 194, 133, 120, 227, 128, 128, 32,  262, 97,  266, 32,  10,  32,  120}));
  EXPECT_EQ(t.bos_id(), 269);
  EXPECT_EQ(t.eos_id(), 269);
  EXPECT_EQ(t.unk_id(), -1);
  EXPECT_EQ(t.vocab_size(), 274);
  EXPECT_EQ(t.decode(Ids{269, 257, 270}), "the<tool>");
}

TEST(JsonTokenizer, Llama3Ids) {
  const Tokenizer t = made(llama3_json());
  EXPECT_EQ(t.encode("the the  the\n\n12345 it's IT'S"),
            (Ids{257, 258, 32, 258, 268, 264, 52, 53, 32, 105, 116, 265, 32, 73, 84, 39, 83}));
  EXPECT_EQ(t.encode("e\u0301te\u0301 \u4f60\u180e \u0085x\u3000 aaaaa   \n x"),
            (Ids{195, 169, 116, 195, 169, 32, 228, 189, 160, 225, 160, 142, 32, 194,
                 133, 120, 227, 128, 128, 32, 262, 97,  266, 32,  10,  32,  120}));
  EXPECT_FALSE(t.lossless());
}

TEST(JsonTokenizer, SentencePieceStyleIds) {
  const std::string texts[] = {"the  the     a", "  aab<s>\u4f60\n", "\u2581the<x>the <0x41>"};
  Json replace = llama2_json();
  replace["normalizer"] = replace["normalizer"]["normalizers"][1];
  const auto ids = [&](const Json& json) {
    std::vector<Ids> all;
    for (const std::string& text : texts) all.push_back(made(json).encode(text));
    return all;
  };
  const Ids tail = {60, 61}, second = {259, 268, 260, 261, 63, 118, 65, 231, 192, 163, 13};
  EXPECT_THAT(ids(llama2_json()),
              ElementsAreArray({Ids{267, 259, 267, 270, 268},
                                Ids{271, 268, 260, 261, 63, 118, 65, 231, 192, 163, 13},
                                Ids{259, 267, 63, 123, 65, 266, 259, 63, 51, 123, 55, 52, 65}}));
  EXPECT_THAT(ids(replace),
              ElementsAreArray({Ids{266, 259, 267, 270, 268}, second,
                                Ids{267, 63, 123, 65, 266, 259, 63, 51, 123, 55, 52, 65}}));
  EXPECT_THAT(ids(metaspace_json("first", true, {{"<x>"}})),
              ElementsAreArray({Ids{267, 259, 267, 259, 259, 259, 259, 268}, second,
                                Ids{267, 273, 266, 259, 63, 51, 123, 55, 52, 65}}));
  EXPECT_THAT(ids(metaspace_json("always", false, {{"<x>"}})),
              ElementsAreArray({Ids{267, 259, 267, 270, 268}, second,
                                Ids{267, 273, 267, 259, 63, 51, 123, 55, 52, 65}}));
}

TEST(JsonTokenizer, EveryStringSurvives) {
  std::mt19937_64 random(11);
  for (const Json& json : {byte_level_json(), byte_level_json({{"<s>"}, {"the"}, {" "}})}) {
    const Tokenizer t = made(json);
    ASSERT_TRUE(t.lossless());
    for (int i = 0; i < 1000; ++i) {
      const std::string text = random_text(random, 1 + random() % 24, i % 2 != 0);
      ASSERT_EQ(t.decode(t.encode(text)), text) << testing::PrintToString(text);
    }
  }
  const Tokenizer t = made(llama2_json());
  EXPECT_FALSE(t.lossless()) << "U+2581";
  for (int i = 0; i < 1000; ++i) {
    std::string text = random_text(random, 1 + random() % 24, i % 2 != 0);
    for (std::size_t at; (at = text.find("\u2581")) != text.npos;) text.erase(at, 3);
    ASSERT_EQ(t.decode(t.encode(text)), text) << testing::PrintToString(text);
  }
  EXPECT_FALSE(made(byte_level_json({{"<l>", "l"}})).lossless());
  Json hole = byte_level_json();
  hole["model"]["vocab"].erase("A");
  hole["model"]["vocab"]["zzz"] = 'A';
  EXPECT_FALSE(made(hole).lossless());
  EXPECT_EQ(made(hole).encode("AxA"), Ids{'x'}) << "dropped, as `tokenizers` does";
}

std::vector<Json> many_kinds() {
  Json digits = with_added_tokens();
  digits["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Digits"}, {"individual_digits", true}}, digits["pre_tokenizer"]}}};
  Json unsplit = digits;
  unsplit["pre_tokenizer"]["pretokenizers"][1]["use_regex"] = false;
  Json composed = llama3_json();
  composed["added_tokens"].push_back({{"id", composed["model"]["vocab"].size() + 1},
                                      {"content", "\u00e9t"},
                                      {"normalized", true}});
  Json prefixed = byte_level_json({{"<s>"}});
  prefixed["pre_tokenizer"]["add_prefix_space"] = true;
  return {byte_level_json(),
          with_added_tokens(),
          digits,
          unsplit,
          llama3_json(),
          composed,
          prefixed,
          llama2_json(),
          llama2_json({{"the", "n"}, {"<s>a"}}),
          metaspace_json("always", true, {{"the", "w"}}),
          metaspace_json("first", false),
          metaspace_json("never", true)};
}

// Cuts of windows of every size: a part ends where the text so far may end.
TEST(JsonTokenizer, PartsOfADocumentEncodeLikeTheWhole) {
  std::mt19937_64 random(12);
  int kind = 0;
  for (const Json& json : many_kinds()) {
    const Tokenizer t = made(json);
    for (int i = 0; i < 150; ++i) {
      std::string text;
      for (int k = 0; k < 20; ++k) {
        text += random_text(random, 1 + random() % 8, i % 3 == 0);
        constexpr const char* marks[] = {"<l>",      "<r>",  "word",   "the", "\u00e9t",
                                         "e\u0301t", "<s>a", "\u0323", "'s",  "12"};
        text += marks[random() % 10];
      }
      Ids ids;
      Encoder encoder(t);
      auto part = Encoder::Part::first;
      for (std::string_view rest = text; !rest.empty();) {
        const std::string_view window = rest.substr(0, 1 + random() % 80);
        const std::size_t n =
            window.size() == rest.size() ? rest.size() : t.complete_prefix(window);
        if (n == 0 && random() % 3 != 0) continue;
        const std::size_t taken = n > 0 ? n : rest.size();
        encoder.append(rest.substr(0, taken), part, ids);
        part = Encoder::Part::continued;
        rest.remove_prefix(taken);
      }
      ASSERT_EQ(ids, t.encode(text)) << kind << ' ' << testing::PrintToString(text);
    }
    ++kind;
  }
}

TEST(JsonTokenizer, LongRunsAreCutTheSameInParts) {
  std::mt19937_64 random(13);
  for (const Json& json : many_kinds()) {
    const Tokenizer t = made(json);
    const std::string text = english() + std::string(200'000, ' ') + "x" +
                             std::string(150'000, 'a') + random_text(random, 3000, true) +
                             std::string(70'000, '\n') + english();
    Ids ids;
    Encoder encoder(t);
    auto part = Encoder::Part::first;
    std::size_t window = 140'000;
    for (std::string_view rest = text; !rest.empty();) {
      const std::string_view seen = rest.substr(0, window);
      const std::size_t n = seen.size() == rest.size() ? rest.size() : t.complete_prefix(seen);
      window = n > 0 ? 140'000 + random() % 50'000 : window + 140'000;
      if (n == 0) continue;
      encoder.append(rest.substr(0, n), part, ids);
      part = Encoder::Part::continued;
      rest.remove_prefix(n);
    }
    EXPECT_EQ(ids, t.encode(text)) << json["pre_tokenizer"].dump().substr(0, 100);
  }
}

TEST(JsonTokenizer, TextWithoutWordsIsCut) {
  Json json = byte_level_json();
  json["pre_tokenizer"]["use_regex"] = false;
  const Tokenizer t = made(json);
  const std::string text(150'000, 'x');
  const std::size_t n = t.complete_prefix(text);
  EXPECT_EQ(n, 2 * PreTokenizer::kWindow);
  EXPECT_EQ(t.complete_prefix(text.substr(0, 60'000)), 0u);
}

TEST(JsonTokenizer, PathologicalTextTakesLinearTime) {
  for (const Json& json : {byte_level_json(), llama3_json(), llama2_json()}) {
    const Tokenizer t = made(json);
    for (const char* unit : {"a", " ", "\xff", "\u4f60"}) {
      std::string text;
      while (text.size() < 4'000'000) text += unit;
      const std::clock_t begin = std::clock();
      const Ids ids = t.encode(text);
      EXPECT_LT(double(std::clock() - begin) / CLOCKS_PER_SEC, 30);
      EXPECT_EQ(t.decode(ids), text);
    }
  }
}

}  // namespace
}  // namespace tern
