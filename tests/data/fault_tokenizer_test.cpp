// Rows 43, 46 and 48: text and model files that break tokenizers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <ctime>
#include <limits>

#include "core/check.h"
#include "data/tokenizer/sentencepiece_model.h"
#include "tests/data/tokenizer_fixture.h"
#include "tests/support/complaint.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::HasSubstr;

// the message of the Error, whose fault must be input; "" when there is none
std::string refusal(const std::string& bytes) {
  try {
    Tokenizer::parse(bytes, "m.model");
    return "";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::input) << e.what();
    EXPECT_THAT(e.what(), HasSubstr("m.model"));
    return e.what();
  }
}

ModelFile sound() {
  return model_file({"\u2581", "a", "b", "ab"});
}

template <class Change>
std::string refusal_after(Change change) {
  ModelFile file = sound();
  change(file);
  return refusal(file.bytes());
}

TEST(Fault46, SoundModelIsAccepted) {
  EXPECT_EQ(refusal(sound().bytes()), "");
}

TEST(Fault46, TruncatedModelIsNamed) {
  const std::string whole = sound().bytes();
  EXPECT_THAT(refusal(""), HasSubstr("no pieces"));
  int accepted = 0;
  for (std::size_t n = 0; n < whole.size(); ++n) accepted += refusal(whole.substr(0, n)).empty();
  EXPECT_EQ(accepted, 0);
  EXPECT_THAT(refusal(whole.substr(0, 200)), HasSubstr("truncated at byte"));
}

TEST(Fault46, BadPiecesAreNamed) {
  const auto with = [](const std::string& text, int kind, float score = 0) {
    return refusal_after([&](ModelFile& f) { f.pieces.push_back({text, score, kind}); });
  };
  EXPECT_THAT(with("ab", 1), HasSubstr("'ab' is there twice"));
  EXPECT_THAT(with("", 1), HasSubstr("piece 263"));
  EXPECT_THAT(with(std::string(1 << 20, 'x'), 1), HasSubstr("at most 16384 B, got 1048576"));
  EXPECT_THAT(with("x\xff", 1), HasSubstr("not UTF-8"));
  EXPECT_THAT(with(std::string("x\0y", 3), 1), HasSubstr("NUL"));
  EXPECT_THAT(with("c", 1, NAN), HasSubstr("'c': expected a finite score, got nan"));
  EXPECT_THAT(with("c", 1, INFINITY), HasSubstr("finite score"));
  EXPECT_THAT(with("c", 9), HasSubstr("type from 1 to 6, got 9"));
  EXPECT_THAT(with("<0x-1>", 6), HasSubstr("got '<0x-1>'"));
  EXPECT_THAT(with("<0x100>", 6), HasSubstr("expected a byte piece"));
  EXPECT_THAT(with("<unk2>", 2), HasSubstr("one unknown piece (<unk>), got 2"));
  EXPECT_EQ(with(std::string(kMaxPieceBytes, 'x'), 4), "") << "the longest that is allowed";
}

TEST(Fault46, MissingPartsAreNamed) {
  EXPECT_THAT(refusal_after([](ModelFile& f) { f.pieces.clear(); }), HasSubstr("no pieces"));
  EXPECT_THAT(refusal_after([](ModelFile& f) { f.pieces[0].kind = 1; }),
              HasSubstr("one unknown piece (<unk>), got 0"));
  EXPECT_THAT(refusal_after([](ModelFile& f) { f.pieces.erase(f.pieces.begin() + 10); }),
              HasSubstr("expected 256 byte pieces, got 255"));
  EXPECT_THAT(refusal_after([](ModelFile& f) { f.byte_fallback = false; }),
              HasSubstr("expected 0 byte pieces, got 256"));
}

TEST(Fault46, IdsOutsideThePiecesAreNamed) {
  for (const std::int64_t id : {std::int64_t(263), std::int64_t(1) << 31, std::int64_t(-2)})
    EXPECT_THAT(refusal_after([&](ModelFile& f) { f.bos_id = id; }),
                HasSubstr("bos_id: expected -1 to 262, got " + std::to_string(id)));
}

TEST(Fault46, NestedUserPiecesAreBounded) {
  EXPECT_THAT(refusal_after([](ModelFile& f) {
                for (std::size_t n = 1; n <= 65; ++n)
                  f.pieces.push_back({std::string(n, 'x'), 0, 4});
              }),
              HasSubstr("more than 64 user-defined pieces"));
}

TEST(Fault46, BrokenNormalisationRulesAreRefused) {
  const auto with = [](const std::string& rules) {
    return refusal_after([&](ModelFile& f) { f.rules = rules; });
  };
  EXPECT_THAT(with("abc"), HasSubstr("broken normalisation rules"));
  EXPECT_THAT(with(std::string("\xff\xff\xff\xff", 4) + "abcd"), HasSubstr("does not fit"));
  // one unit whose children lie at 2^20, beyond the end of the trie
  EXPECT_THAT(
      with(std::string("\x04\0\0\0", 4) + std::string("\0\0\0\x40", 4) + std::string(2, '\0')),
      HasSubstr("leads outside"));
}

// found by fuzzing: rules whose output has a character that SentencePiece takes for an unknown one
TEST(Fault46, RulesThatLoseACharacterAreNamedWhenATextMeetsThem) {
  const Tokenizer t =
      Tokenizer::parse(read_text("tests/fuzz/corpus/tokenizer_model/unconsumed"), "m.model");
  EXPECT_THAT(complaint([&] { t.encode(std::string("\xff\0x", 3)); }),
              HasSubstr("SentencePiece cannot encode a text with this model"));
}

TEST(Fault46, SentencePiecesOwnRulesAreAccepted) {
  const Tokenizer t = Tokenizer::parse(default_sentencepiece_model(), "m.model");
  EXPECT_FALSE(t.lossless());
  EXPECT_EQ(t.decode(t.encode("the  \uff42oats\n")), "the boats") << "NFKC, spaces removed";
}

TEST(Fault46, MutatedModelsNeverCrash) {
  std::mt19937_64 random(46);
  const std::string whole = small_tokenizer().file();
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    std::string bytes = whole;
    for (int k = 0; k < 1 + i % 3; ++k) bytes[random() % bytes.size()] = char(random());
    try {
      const Tokenizer t = Tokenizer::parse(bytes, "m.model");
      t.decode(t.encode("The harbour  lay\n\tgrey \xff"));
    } catch (const Error& e) {
      EXPECT_EQ(e.fault, Fault::input) << e.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 50);
}

TEST(Fault43, AnyBytesSurvive) {
  const Tokenizer& t = small_tokenizer();
  std::string every_byte;
  for (int b = 0; b < 256; ++b) every_byte += char(b);
  const std::string texts[] = {every_byte,
                               "lone surrogate \xed\xa0\x80 half a character \xe2\x82",
                               std::string("a\0b\0", 4),
                               "\ufeffBOM",
                               "two\r\nlines\r\n",
                               "  leading\t\ttabs   spaces  "};
  for (const std::string& text : texts) EXPECT_EQ(t.decode(t.encode(text)), text);
}

// Encodes and decodes; returns the processor time of encoding: the machine may be busy.
double seconds_for(const Tokenizer& tokenizer, const std::string& text) {
  const std::clock_t begin = std::clock();
  const std::vector<std::int32_t> ids = tokenizer.encode(text);
  const double took = double(std::clock() - begin) / CLOCKS_PER_SEC;
  EXPECT_TRUE(tokenizer.decode(ids) == text);
  return took;
}

TEST(Fault43, LongLineTakesLinearTime) {
  std::string line;
  while (line.size() < 100'000'000) line += "The boats are not in yet. ";
  EXPECT_LT(seconds_for(small_tokenizer(), line), 60);  // 2 s; hours if it were quadratic
}

TEST(Fault48, PathologicalInputTakesLinearTime) {
  const ModelFile file = model_file({"a", "aa", "aaaa", "aaaaaaaa", "\u2581", "\u2581\u2581"});
  const Tokenizer t = Tokenizer::parse(file.bytes(), "m.model");
  const std::string text(10'000'000, 'a');
  EXPECT_LT(seconds_for(t, text), 60);
  EXPECT_EQ(t.encode(text).size(), text.size() / 8);

  std::mt19937_64 random(48);  // and without help from what was met before
  std::string letters;
  while (letters.size() < 4'000'000) letters += "ab"[random() % 2];
  const Tokenizer pairs =
      Tokenizer::parse(model_file({"a", "b", "ab", "ba", "aab", "bb"}).bytes(), "m");
  EXPECT_LT(seconds_for(pairs, letters), 60);
}

}  // namespace
}  // namespace tern
