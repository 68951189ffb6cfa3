// The denominator of bits per byte, compared with the decoded text.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "core/kernels/primitives.h"
#include "data/corpus/batches.h"
#include "data/corpus/ngram.h"
#include "tests/data/prepare_fixture.h"

namespace tern {
namespace {

// a corpus of two documents as one text file each
Corpus two_documents(const PrepareFixture& f, const std::string& model, DocumentLayout layout,
                     const std::string& first, const std::string& second) {
  write_text(f / "t.model", model);
  write_text(f / "a.txt", first);
  write_text(f / "b.txt", second);
  PrepareOptions options = f.options("out", {f / "a.txt", f / "b.txt"});
  options.tokenizer = f / "t.model";
  options.layout = layout;
  std::filesystem::remove_all(f / "out");
  prepare_corpus(options, no_report);
  return Corpus::open(f / "out", Split::train);
}

// bytes of all targets of a pass over the first samples
std::uint64_t counted(const Corpus& corpus, std::uint64_t T, std::uint64_t samples) {
  const TokenSource source{
      .name = "c",
      .token_count = corpus.token_count(),
      .read = [&](std::uint64_t first, std::span<std::int32_t> ids) { corpus.read(first, ids); }};
  SequentialPass pass(source, T, 3, samples);
  const TextBytes bytes(corpus);
  std::uint64_t sum = 0;
  while (const auto batch = pass.next()) sum += bytes.of(*batch);
  return sum;
}

TEST(Fault108, BytesOfAPartAreThoseOfItsText) {
  const PrepareFixture f;
  const std::string words = english(), letters = "q~q\xff^x\u4f60\u597d|}{" + std::string(3, '\0');
  const Corpus corpus = two_documents(f, small_tokenizer().file(), {}, letters, words);
  const std::vector<std::int32_t> ids = f.ids("out");
  for (const std::uint64_t samples : {1, 2, 3, 7, 1000}) {
    const std::size_t end = std::min<std::size_t>(ids.size(), 1 + samples * 5);
    const std::string text = small_tokenizer().decode(std::span(ids).first(end));
    EXPECT_EQ(counted(corpus, 5, samples), text.size()) << samples << " samples";
  }
  EXPECT_EQ(counted(corpus, 5, 1000), corpus.text_bytes());
  const double mean = double(corpus.text_bytes()) / double(corpus.token_count());
  EXPECT_LT(double(counted(corpus, 5, 3)), 0.7 * 15 * mean) << "the parts of the test are alike";
}

TEST(Fault108, MaskedTargetsAreNotCounted) {
  const PrepareFixture f;
  const Corpus corpus = two_documents(f, small_tokenizer().file(), {}, "harbour", "boats");
  const TextBytes bytes(corpus);
  std::vector<std::int32_t> ids = f.ids("out"), targets(ids.begin() + 1, ids.end());
  const auto all = bytes.of(0, std::span(ids).first(targets.size()), targets);
  EXPECT_EQ(all, 12u);
  const std::int32_t masked = std::exchange(targets[0], kIgnoreIndex);
  EXPECT_EQ(bytes.of(0, std::span(ids).first(targets.size()), targets),
            12u - small_tokenizer().spelling(masked, true).size());
}

TEST(Fault108, TheDummySpaceOfEachDocumentIsNotText) {
  const PrepareFixture f;
  ModelFile file = model_file({"\u2581", "a", "\u2581a", "aa"});
  file.dummy_prefix = true;
  for (const bool bos : {true, false})
    for (const bool eos : {true, false}) {
      const Corpus corpus =
          two_documents(f, file.bytes(), {.bos = bos, .eos = eos}, "a aa a", "aa  a");
      // the first token is no target: bos, or "\u2581a", which stands for "a"
      EXPECT_EQ(counted(corpus, 4, 1000), corpus.text_bytes() - (bos ? 0 : 1)) << bos << eos;
      EXPECT_EQ(counted(corpus, 1, 1000), corpus.text_bytes() - (bos ? 0 : 1)) << bos << eos;
    }
}

TEST(Fault108, RewrittenTextCountsAsItWasRewritten) {
  const PrepareFixture f;
  const std::string model = default_sentencepiece_model();
  const Tokenizer t = Tokenizer::parse(model, "default.model");
  const Corpus corpus = two_documents(f, model, {}, "the  \uff42oats\n", "\u4f60 the");
  EXPECT_EQ(counted(corpus, 4, 1000), std::string("the boats").size() + std::string(" the").size())
      << "NFKC, spaces removed, an unknown character is nothing";
}

TEST(Fault108, TheSameBytesForNgrams) {
  const PrepareFixture f;
  write_text(f / "a.txt", english() + english());
  PrepareOptions options = f.options("out", {f / "a.txt"});
  options.validation = 0.25;
  options.layout.bos = false;
  prepare_corpus(options, no_report);
  const Corpus train = Corpus::open(f / "out", Split::train);
  const Corpus validation = Corpus::open(f / "out", Split::validation);
  std::vector<std::int32_t> first(1);
  validation.read(0, first);
  EXPECT_EQ(ngram_baselines(train, validation, 1, 1 << 20).scored_bytes,
            validation.text_bytes() - small_tokenizer().decode(first).size());
}

}  // namespace
}  // namespace tern
