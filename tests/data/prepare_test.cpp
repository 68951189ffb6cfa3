#include "data/corpus/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "data/corpus/batches.h"
#include "data/io/hdf5.h"
#include "tests/data/prepare_fixture.h"
#include "tests/support/process.h"

namespace tern {
namespace {

using Ids = std::vector<std::int32_t>;
using testing::HasSubstr;

Ids with_ends(const std::string& text) {
  Ids ids = small_tokenizer().encode(text);
  ids.insert(ids.begin(), 1);
  ids.push_back(2);
  return ids;
}

Ids operator+(Ids a, const Ids& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(Prepare, LaysOutDocumentAfterDocument) {
  const PrepareFixture f;
  write_text(f / "a.txt", "The boats.\n");
  write_text(f / "b.jsonl", "{\"text\":\"the sea\"}\n{\"text\":\"\"}\n{\"text\":\"bell\"}\n");
  const PrepareOptions options = f.options("out", {f / "a.txt", f / "b.jsonl"});
  const PrepareResult result = prepare_corpus(options, no_report);
  EXPECT_EQ(f.ids("out"), with_ends("The boats.\n") + with_ends("the sea") + with_ends("bell"));
  const Corpus corpus = Corpus::open(f / "out", Split::train);
  EXPECT_EQ(corpus.document_count(), 3u);
  EXPECT_EQ(
      corpus.document_starts(),
      (std::vector<std::uint64_t>{0, with_ends("The boats.\n").size(),
                                  (with_ends("The boats.\n") + with_ends("the sea")).size()}));
  EXPECT_EQ(corpus.text_bytes(), 22u);
  EXPECT_EQ(corpus.vocab_size(), 400);
  EXPECT_EQ(corpus.manifest().token_type, StoredType::u16);
  EXPECT_EQ(corpus.tokenizer().hash(), small_tokenizer().hash());
  EXPECT_TRUE(verify_corpus(f / "out", true, [](auto, auto) {}).empty());
  EXPECT_EQ(to_text(result.manifest), read_text(f / "out/manifest.json"));
  EXPECT_FALSE(std::filesystem::exists(f / "out/prepare.journal"));

  PrepareOptions bare = f.options("bare", {f / "a.txt"});
  bare.layout = {.bos = false, .eos = false};
  prepare_corpus(bare, no_report);
  EXPECT_EQ(f.ids("bare"), small_tokenizer().encode("The boats.\n"));
}

TEST(Prepare, IsTheSameForAnyNumberOfThreadsAndAnyShardSize) {
  const PrepareFixture f;
  PrepareOptions options = f.options("one", f.many_inputs());
  options.validation = 0.1;
  prepare_corpus(options, no_report);
  options.out = f / "five";
  options.threads = 5;
  prepare_corpus(options, no_report);
  EXPECT_EQ(f.content("one"), f.content("five"));
  options.out = f / "shards";
  options.shard_tokens = 100'000;
  EXPECT_GT(prepare_corpus(options, no_report).manifest.of(Split::train).size(), 3u);
  EXPECT_EQ(f.ids("one"), f.ids("shards"));
  EXPECT_EQ(f.ids("one", Split::validation), f.ids("shards", Split::validation));
  const Corpus corpus = Corpus::open(f / "shards", Split::train);
  EXPECT_EQ(corpus.document_starts(), Corpus::open(f / "one", Split::train).document_starts());
  const Ids all = f.ids("shards");
  for (std::uint64_t first = 0; first + 99'999 < all.size(); first += 77'777) {
    Ids part(99'999);
    corpus.read(first, part);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + long(first)));
  }
}

TEST(Prepare, TextOfACorpusIsTheText) {
  const PrepareFixture f;
  std::mt19937_64 random(7);
  std::string text;
  while (text.size() < 2'500'000) text += random_text(random, 300, true) + english();
  write_text(f / "a.txt", text);
  PrepareOptions options = f.options("out", {f / "a.txt"});
  options.validation = 0.25;
  options.shard_tokens = 10'000;
  prepare_corpus(options, no_report);
  const std::string train = small_tokenizer().decode(f.ids("out"));
  EXPECT_EQ(train + small_tokenizer().decode(f.ids("out", Split::validation)), text);
  EXPECT_EQ(Corpus::open_held_out(f / "out").split(), Split::validation);
  EXPECT_EQ(Corpus::open(f / "out", Split::train).text_bytes(), train.size());
  EXPECT_NEAR(double(train.size()), 0.75 * double(text.size()), 4);
  EXPECT_EQ(f.ids("out"), with_ends(train)) << "pieces encode like the whole";
}

TEST(Prepare, KeepsTokenFilesAsTheyAre) {
  const PrepareFixture f;
  const Ids ids = with_ends("The harbour.");
  std::string u16, u32;
  for (const std::int32_t id : ids) {
    u16 += {char(id), char(id >> 8)};
    u32 += {char(id), char(id >> 8), char(id >> 16), char(id >> 24)};
  }
  write_text(f / "a.bin", u16);
  write_text(f / "b.u32", u32);
  prepare_corpus(f.options("out", {f / "a.bin", f / "b.u32"}), no_report);
  EXPECT_EQ(f.ids("out"), ids + ids);
  const Corpus corpus = Corpus::open(f / "out", Split::train);
  EXPECT_EQ(corpus.text_bytes(), 24u);
  EXPECT_EQ(corpus.document_count(), 2u);
}

TEST(Prepare, LargeVocabulariesTake32Bits) {
  const PrepareFixture f;
  std::vector<std::string> pieces = {"\u2581", "a"};
  for (int i = 0; i < 66'000; ++i) pieces.push_back("word" + std::to_string(i));
  ModelFile model = model_file(pieces);
  model.pieces.push_back({"last", 0, 4});
  write_text(f / "large.model", model.bytes());
  write_text(f / "a.txt", "a last a");
  PrepareOptions options = f.options("out", {f / "a.txt"});
  options.tokenizer = f / "large.model";
  prepare_corpus(options, no_report);
  EXPECT_EQ(Corpus::open(f / "out", Split::train).manifest().token_type, StoredType::u32);
  EXPECT_THAT(f.ids("out"), testing::Contains(std::int32_t(model.pieces.size() - 1)));
}

TEST(Prepare, ReadsStandardInput) {
  const PrepareFixture f;
  const std::string text = english() + english();
  const Outcome o = run({.body =
                             [&] {
                               prepare_corpus(f.options("out", {"-"}), no_report);
                               return 0;
                             },
                         .input = text});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(small_tokenizer().decode(f.ids("out")), text);
}

TEST(Prepare, RefusesWhatIsNotItsOwn) {
  const PrepareFixture f;
  write_text(f / "a.txt", english());
  PrepareOptions options = f.options("out", {f / "a.txt"});
  const auto message = [&] {
    return message_of(Fault::usage, [&] { prepare_corpus(options, no_report); });
  };
  EXPECT_EQ(message(), "");
  EXPECT_TRUE(prepare_corpus(options, no_report).was_finished);
  options.validation = 0.5;
  EXPECT_THAT(message(), HasSubstr("validation: 0.0 then, 0.5 now"));
  options.out = f / "";
  EXPECT_THAT(message(), HasSubstr("is not empty and holds no corpus"));
  options.out = f / "new";
  options.threads = 0;
  EXPECT_THAT(message(), HasSubstr("--threads"));
}

TEST(Prepare, OneProcessAtATime) {
  const PrepareFixture f;
  write_text(f / "a.txt", english());
  const PrepareOptions options = f.options("out", {f / "a.txt"});
  std::string second;
  prepare_corpus(options, [&](const PrepareProgress&) {
    const Outcome o = run({.body = [&] {
      std::fputs(message_of(Fault::usage, [&] { prepare_corpus(options, no_report); }).c_str(),
                 stderr);
      return 0;
    }});
    second = o.err;
  });
  EXPECT_THAT(second, HasSubstr("another tern prepare is working here"));
}

TEST(Corpus, NamesWhatIsMissing) {
  const PrepareFixture f;
  write_text(f / "a.txt", english());
  const auto message = [&](Split split) {
    return message_of(Fault::input, [&] { Corpus::open(f / "out", split); });
  };
  EXPECT_THAT(message(Split::train), HasSubstr("holds no corpus"));
  const PrepareOptions options = f.options("out", {f / "a.txt"});
  EXPECT_THROW(
      prepare_corpus(options, [](const PrepareProgress&) { throw std::runtime_error(""); }),
      std::runtime_error);
  EXPECT_THAT(message(Split::train), HasSubstr("unfinished"));
  prepare_corpus(options, no_report);
  EXPECT_EQ(message(Split::train), "");
  EXPECT_THAT(message(Split::validation), HasSubstr("has no validation split"));
  EXPECT_EQ(Corpus::open_held_out(f / "out").split(), Split::train);
  std::filesystem::remove(f / "out/train-00000.h5");
  EXPECT_THAT(message(Split::train), HasSubstr("train-00000.h5"));
}

TEST(Corpus, DamageIsNamed) {
  const PrepareFixture f;
  write_text(f / "a.txt", english());
  prepare_corpus(f.options("out", {f / "a.txt"}), no_report);
  const std::string shard = f / "out/train-00000.h5";
  const std::string sound = read_text(shard);
  const Structure structure = read_structure(File::open(shard));
  const auto tokens = std::find_if(structure.datasets.begin(), structure.datasets.end(),
                                   [](const Dataset& d) { return d.name == "tokens"; });
  const auto after = [&](std::string bytes) {
    write_text(shard, bytes);
    return message_of(Fault::input, [&] {
      const Corpus corpus = Corpus::open(f / "out", Split::train);
      f.ids("out");
      const auto problems = verify_corpus(f / "out", true, [](auto, auto) {});
      require(problems.empty(), Fault::input, problems.empty() ? "" : problems[0]);
    });
  };
  EXPECT_EQ(after(sound), "");
  EXPECT_THAT(after(sound.substr(0, sound.size() - 1)), HasSubstr("train-00000.h5"));
  EXPECT_THAT(after(""), HasSubstr("train-00000.h5"));
  std::string flipped = sound;
  flipped[tokens->offset + 2] ^= 1;
  EXPECT_THAT(after(flipped), HasSubstr("tokens do not have the hash"));
  flipped[tokens->offset + 3] = '\xff';
  EXPECT_THAT(after(flipped), HasSubstr("token 1: expected an id below 400, got 65"));
  write_text(shard, sound);
  const std::string manifest = read_text(f / "out/manifest.json");
  std::string smaller = manifest;
  smaller.replace(smaller.find("\"vocab_size\": 400"), 17, "\"vocab_size\": 399");
  write_text(f / "out/manifest.json", smaller);
  EXPECT_THAT(after(sound), HasSubstr("manifest.json: vocab_size: expected 400, the size of its"));
  EXPECT_THAT(message_of(Fault::input, [&] { Corpus::open(f / "out", Split::train).tokenizer(); }),
              HasSubstr("manifest.json: vocab_size: expected 400"));
  write_text(f / "out/manifest.json", "{\"format\": 9}");
  EXPECT_THAT(after(sound), HasSubstr("made by a newer release"));
}

// A shard whose bytes have changed: every reader of the corpus gets ids of its vocabulary or none.
TEST(Fault42, TokenOutsideTheVocabularyIsNamedByPosition) {
  const PrepareFixture f;
  write_text(f / "a.txt", english());
  prepare_corpus(f.options("out", {f / "a.txt"}), no_report);
  const std::string shard = f / "out/train-00000.h5";
  std::string bytes = read_text(shard);
  const Structure structure = read_structure(File::open(shard));
  for (const Dataset& d : structure.datasets)
    if (d.name == "tokens") bytes[d.offset + 2 * 57 + 1] = '\x7f';
  write_text(shard, bytes);
  const auto corpus = std::make_shared<Corpus>(Corpus::open(f / "out", Split::train));
  const BatchReader reader({{.name = "wiki",
                             .token_count = corpus->token_count(),
                             .read = [&](auto first, auto ids) { corpus->read(first, ids); }}},
                           {.context = 10, .shuffled = false});
  EXPECT_EQ(message_of(Fault::input, [&] { reader.read(0, 5); }), "");
  EXPECT_THAT(message_of(Fault::input, [&] { reader.read(5, 1); }),
              HasSubstr("train-00000.h5: token 57: expected an id below 400, got 32"));
  SequentialPass pass({.name = "wiki",
                       .token_count = corpus->token_count(),
                       .read = [&](auto first, auto ids) { corpus->read(first, ids); }},
                      10, 6);
  EXPECT_THAT(message_of(Fault::input, [&] { pass.next(); }), HasSubstr("token 57: expected"));
}

}  // namespace
}  // namespace tern
