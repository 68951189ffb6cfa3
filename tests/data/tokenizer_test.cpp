#include "data/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include <cstdlib>
#include <thread>
#include <utility>

#include "core/check.h"
#include "data/text/utf8.h"
#include "tests/data/tokenizer_fixture.h"

namespace tern {
namespace {

using Ids = std::vector<std::int32_t>;

// What SentencePiece itself makes of a whole text.
class Reference {
 public:
  explicit Reference(const Tokenizer& tokenizer) {
    EXPECT_TRUE(processor_.LoadFromSerializedProto(tokenizer.file()).ok());
  }
  Ids encode(std::string_view text) const { return processor_.EncodeAsIds(text); }
  std::string decode(const Ids& ids) const { return processor_.DecodeIds(ids); }

 private:
  sentencepiece::SentencePieceProcessor processor_;
};

std::optional<Tokenizer> mistral() {
  const char* path = std::getenv("TERN_MISTRAL_MODEL");
  if (path == nullptr) return std::nullopt;
  return Tokenizer::load(path);
}

// streamed token by token
std::string decoded_in_parts(const Tokenizer& tokenizer, const Ids& ids) {
  Decoder decoder(tokenizer);
  std::string text;
  for (const auto id : ids) {
    const std::string part = decoder.push(id);
    EXPECT_TRUE(!is_utf8(tokenizer.decode(ids)) || is_utf8(part));
    text += part;
  }
  return text + decoder.finish();
}

TEST(Tokenizer, TrainedModelHasTheUsualIdsAndKeepsText) {
  const Tokenizer& t = small_tokenizer();
  EXPECT_EQ(t.vocab_size(), 400);
  EXPECT_EQ(t.unk_id(), 0);
  EXPECT_EQ(t.bos_id(), 1);
  EXPECT_EQ(t.eos_id(), 2);
  EXPECT_TRUE(t.lossless());
  EXPECT_EQ(t.hash().size(), 32u);
  EXPECT_EQ(t.decode(t.encode(english())), english());
  EXPECT_LT(t.encode(english()).size(), english().size() / 2);
  EXPECT_TRUE(t.encode("").empty());
}

TEST(Tokenizer, EveryStringSurvives) {
  std::mt19937_64 random(1);
  ModelFile prefixed = model_file({"\u2581", "a", "t", "h", "e", "th", "the", "\u2581the"});
  prefixed.dummy_prefix = true;
  ModelFile unigram = model_file({"\u2581", "a", "the", "\u2581the", "\u2581\u2581"});
  unigram.type = 1;
  const Tokenizer tokenizers[] = {small_tokenizer(), Tokenizer::parse(prefixed.bytes(), "prefixed"),
                                  Tokenizer::parse(unigram.bytes(), "unigram"),
                                  Tokenizer::parse(model_file({"a", "aa"}).bytes(), "spaceless")};
  for (const Tokenizer& t : tokenizers) {
    ASSERT_TRUE(t.lossless());
    for (int i = 0; i < 1500; ++i) {
      const std::string text = random_text(random, 1 + random() % 24, i % 2 != 0);
      const Ids ids = t.encode(text);
      ASSERT_EQ(t.decode(ids), text) << testing::PrintToString(text);
      ASSERT_EQ(decoded_in_parts(t, ids), text) << testing::PrintToString(text);
    }
  }
}

TEST(Tokenizer, IdsAreThoseOfSentencePieceOnTheWholeText) {
  std::mt19937_64 random(2);
  ModelFile prefixed = model_file({"\u2581", "o", "b", "a", "t", "h", "e", "\u2581\u2581", "bo",
                                   "at", "th", "ats", "\u2581the", "boa", "\n\n", "aa", "12"});
  prefixed.dummy_prefix = true;
  prefixed.pieces.push_back({"word", 0, 4});
  for (const Tokenizer& t : {small_tokenizer(), Tokenizer::parse(prefixed.bytes(), "prefixed")}) {
    const Reference reference(t);
    EXPECT_EQ(t.encode(english()), reference.encode(english()));
    for (int i = 0; i < 1500; ++i) {
      std::string text = random_text(random, 1 + random() % 40, false);
      for (std::size_t at; (at = text.find("\u2581")) != text.npos;) text.erase(at, 3);
      ASSERT_EQ(t.encode(text), reference.encode(text)) << testing::PrintToString(text);
    }
  }
}

TEST(Tokenizer, PartsOfADocumentEncodeLikeTheWhole) {
  std::mt19937_64 random(3);
  const Tokenizer& t = small_tokenizer();
  std::string text = english() + random_text(random, 3000, true) + std::string(200'000, 'a');
  for (int i = 0; i < 100; ++i) text += english();
  Ids ids;
  Encoder encoder(t);
  auto part = Encoder::Part::first;
  for (std::string_view rest = text; !rest.empty(); part = Encoder::Part::continued) {
    const std::string_view window = rest.substr(0, 140'000 + random() % 50'000);
    const std::size_t n = window.size() == rest.size() ? rest.size() : t.complete_prefix(window);
    ASSERT_GT(n, 0u);
    encoder.append(rest.substr(0, n), part, ids);
    rest.remove_prefix(n);
  }
  EXPECT_EQ(ids, t.encode(text));
}

TEST(Tokenizer, DecodingDropsTheDummySpaceOfEachDocument) {
  ModelFile file = model_file({"\u2581", "a", "\u2581a"});
  file.dummy_prefix = true;
  const Tokenizer t = Tokenizer::parse(file.bytes(), "model");
  Ids ids = {1};
  const Ids text = t.encode("a a");
  for (int i = 0; i < 2; ++i) ids.insert(ids.end(), text.begin(), text.end()), ids.push_back(2);
  EXPECT_EQ(t.decode(ids), "a aa a");
  EXPECT_THROW(t.decode(Ids{t.vocab_size()}), Error);
  EXPECT_THROW(t.decode(Ids{-1}), Error);
}

TEST(Tokenizer, ModelsThatRewriteTextAreUsedAsTheyAre) {
  ModelFile file = model_file({"\u2581", "a", "\u2581a"});
  file.dummy_prefix = file.remove_extra_spaces = true;
  const Tokenizer t = Tokenizer::parse(file.bytes(), "model");
  EXPECT_FALSE(t.lossless());
  const Reference reference(t);
  EXPECT_EQ(t.encode("  a   a "), reference.encode("  a   a "));
  EXPECT_EQ(t.decode(t.encode("  a   a ")), "a a");
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "a ";
  EXPECT_EQ(t.encode(text), reference.encode(text)) << "cut before spaces";
}

TEST(Tokenizer, EncodesFromManyThreads) {
  const Tokenizer& t = small_tokenizer();
  const Ids expected = t.encode(english());
  std::vector<std::thread> threads;
  std::vector<int> equal(4);
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] { equal[std::size_t(i)] = t.encode(english()) == expected; });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(equal, testing::Each(1));
}

TEST(Tokenizer, MistralModel) {
  const std::optional<Tokenizer> t = mistral();
  if (!t) GTEST_SKIP() << "set TERN_MISTRAL_MODEL to the path of mistral-v1.model";
  EXPECT_EQ(t->vocab_size(), 32000);
  EXPECT_EQ(t->unk_id(), 0);
  EXPECT_EQ(t->bos_id(), 1);
  EXPECT_EQ(t->eos_id(), 2);
  EXPECT_TRUE(t->lossless());
  EXPECT_EQ(t->encode("Hello world").size(), 2u);
  const Reference reference(*t);
  EXPECT_EQ(t->encode(english()), reference.encode(english()));
  EXPECT_EQ(reference.decode(t->encode(english())), english());
  std::mt19937_64 random(4);
  for (int i = 0; i < 500; ++i) {
    std::string text = random_text(random, 1 + random() % 40, false);
    EXPECT_EQ(t->decode(t->encode(text)), text);
    for (std::size_t at; (at = text.find("\u2581")) != text.npos;) text.erase(at, 3);
    ASSERT_EQ(t->encode(text), reference.encode(text)) << testing::PrintToString(text);
  }
}

TEST(TokenizerTraining, IsReproducibleAndSaysWhatDoesNotFit) {
  const auto train = [](std::int32_t size, std::uint64_t max_bytes) {
    std::optional<std::string> text = english();
    return train_tokenizer([&] { return std::exchange(text, std::nullopt); },
                           {.vocab_size = size, .max_bytes = max_bytes});
  };
  EXPECT_EQ(train(400, 1 << 20), small_tokenizer().file());
  EXPECT_NE(train(330, 1500), train(330, 1 << 20)) << "a sample";
  for (const std::int32_t size : {100, 90'000}) {
    try {
      train(size, 1 << 20);
      FAIL() << size;
    } catch (const Error& e) {
      EXPECT_EQ(e.fault, Fault::usage);
      EXPECT_THAT(e.what(), testing::HasSubstr("a vocabulary of " + std::to_string(size)));
    }
  }
}

}  // namespace
}  // namespace tern
