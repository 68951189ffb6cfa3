// Rows 105 and 111: corpora of many shards, few descriptors, shards that change or are damaged.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "data/corpus/corpus.h"
#include "data/io/files.h"
#include "data/io/hdf5.h"
#include "tests/data/prepare_fixture.h"
#include "tests/support/process.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int kShardTokens = 50;

// what token `position` of a corpus of write_corpus is
std::int32_t token_at(std::uint64_t position, int kinds) {
  return std::int32_t(position % kShardTokens +
                      position / kShardTokens % std::uint64_t(kinds) * 50);
}

// A corpus of that many tiny shards with a document each; shards of the same kind are one file.
void write_corpus(const fs::path& directory, int shards, int kinds) {
  fs::create_directory(directory);
  write_text(directory / "tokenizer.model", small_tokenizer().file());
  CorpusManifest manifest{.tokenizer_hash = small_tokenizer().hash(),
                          .vocab_size = 400,
                          .arguments = nlohmann::json::object(),
                          .splits = {}};
  for (int i = 0; i < shards; ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "train-%05d.h5", i);
    if (i < kinds) {
      TokenRun run{.ids = {}, .starts = {0}, .text_bytes = 100};
      for (int t = 0; t < kShardTokens; ++t)
        run.ids.push_back(token_at(std::uint64_t(i * kShardTokens + t), kinds));
      ShardBuilder builder(StoredType::u16);
      builder.append(run);
      manifest.splits[0].push_back(builder.write(directory / name, manifest.tokenizer_hash));
    } else {
      CorpusShard shard = manifest.splits[0][std::size_t(i % kinds)];
      fs::create_hard_link(directory / shard.file, directory / name);
      shard.file = name;
      manifest.splits[0].push_back(shard);
    }
  }
  write_text(directory / "manifest.json", to_text(manifest));
}

std::size_t open_descriptors() {
  const fs::directory_iterator entries("/proc/self/fd");
  return std::size_t(std::distance(begin(entries), end(entries)));
}

// Reads all of it from several places at once; whether every token is what it must be.
bool reads_right(const Corpus& corpus, int kinds) {
  std::atomic<bool> right = true;
  std::vector<std::jthread> readers;
  for (std::uint64_t r = 0; r < 3; ++r)
    readers.emplace_back([&, r] {
      std::vector<std::int32_t> ids(120);  // over the edges of shards
      const std::uint64_t places = corpus.token_count() - ids.size();
      for (std::uint64_t i = 0; i < 2000; ++i) {
        const std::uint64_t first = (i * 7919 + r * 31) % places;
        corpus.read(first, ids);
        for (std::size_t t = 0; t < ids.size(); ++t)
          if (ids[t] != token_at(first + t, kinds)) right = false;
      }
    });
  readers.clear();
  return right;
}

// Runs body with 64 descriptors at most; what it says on stderr.
std::string with_few_descriptors(const std::function<void()>& body) {
  return run({.body =
                  [&] {
                    try {
                      body();
                    } catch (const Error& e) {
                      std::fputs(e.what(), stderr);
                      return int(e.fault);
                    }
                    return 0;
                  },
              .limits = {{RLIMIT_NOFILE, 64}}})
      .err;
}

TEST(Fault105, ThousandsOfShardsNeedFewDescriptors) {
  const TemporaryDirectory d;
  write_corpus(d.path() / "c", 1600, 7);
  EXPECT_EQ(with_few_descriptors([&] {
              const Corpus corpus = Corpus::open(d.path() / "c", Split::train);
              const Corpus again = Corpus::open(d.path() / "c", Split::train);
              require(corpus.token_count() == 1600 * kShardTokens, Fault::input, "count");
              require(reads_right(corpus, 7) && reads_right(again, 7), Fault::input, "tokens");
              const auto starts = corpus.document_starts();
              require(starts.size() == 1600 && starts[1599] == 1599 * kShardTokens, Fault::input,
                      "starts");
              require(open_descriptors() < 48, Fault::input, "descriptors ", open_descriptors());
            }),
            "");
}

TEST(Fault105, FilesThatWereUsedLastStayOpen) {
  const TemporaryDirectory d;
  for (const char* name : {"a", "b", "c"}) write_text(d / name, name);
  FileCache cache(2);
  const auto a = cache.open(d / "a");
  cache.open(d / "b");
  EXPECT_EQ(cache.open(d / "a"), a);
  const std::size_t before = open_descriptors();
  cache.open(d / "c");  // in place of b
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(cache.open(d / "a"), a);
  cache.forget(d / "a");
  EXPECT_NE(cache.open(d / "a"), a);
}

TEST(Fault105, TooManyOpenFilesIsSaidAsThat) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UBSan itself needs a descriptor to look at memory";
#endif
  const TemporaryDirectory d;
  write_corpus(d.path() / "c", 2, 1);
  const auto with_left = [&](int left, const std::function<void()>& body) {
    return with_few_descriptors([&] {
      int last = 0;
      for (int fd; (fd = ::open("/dev/null", O_RDONLY)) >= 0;) last = fd;
      for (int i = 0; i < left; ++i) ::close(last - i);
      body();
    });
  };
  for (const int left : {0, 1}) {
    const std::string said = with_left(left, [&] { Corpus::open(d.path() / "c", Split::train); });
    EXPECT_THAT(said, HasSubstr(left == 0 ? "manifest.json: " : "train-00000.h5: "));
    EXPECT_THAT(said, HasSubstr("Too many open files: raise the limit"));
    EXPECT_THAT(with_left(left + 1,
                          [&] {
                            File file = File::create(d / ("new" + std::to_string(left)));
                            Structure structure{.datasets = {{"a", StoredType::u8, {1}}}};
                            write_structure(file, structure);
                          }),
                HasSubstr("Too many open files"));
  }
}

class Fault105Changed : public testing::Test {
 protected:
  Fault105Changed() { write_corpus(directory_.path() / "c", 3, 3); }
  std::string shard(int i) const {
    return directory_ / ("c/train-0000" + std::to_string(i) + ".h5");
  }
  std::string reading(const Corpus& corpus, int i) const {
    std::vector<std::int32_t> ids(kShardTokens);
    return message_of(Fault::input, [&] { corpus.read(std::uint64_t(i * kShardTokens), ids); });
  }
  // as a program does that saves files carefully
  void replace(int i, const std::string& content) const {
    write_text(shard(i) + ".new", content);
    fs::rename(shard(i) + ".new", shard(i));
  }
  const TemporaryDirectory directory_;
};

TEST_F(Fault105Changed, ShardsAreNoticedWhetherTheyAreOpenOrNot) {
  for (const std::size_t open : {1, 8}) {
    const std::string sound = read_text(shard(1));
    const Corpus corpus =
        Corpus::open(directory_.path() / "c", Split::train, std::make_shared<FileCache>(open));
    EXPECT_EQ(reading(corpus, 1), "");
    EXPECT_EQ(reading(corpus, 2), "");
    replace(1, sound);
    EXPECT_EQ(reading(corpus, 1), "") << "the same content";
    replace(1, read_text(shard(0)));
    EXPECT_THAT(reading(corpus, 1), HasSubstr("train-00001.h5: damaged: tokens do not"));
    EXPECT_THAT(reading(corpus, 1), HasSubstr("changed after the corpus was opened"));
    EXPECT_EQ(reading(corpus, 2), "");
    fs::remove(shard(1));
    EXPECT_THAT(reading(corpus, 1), HasSubstr("train-00001.h5: cannot open: No such file"));
    EXPECT_THAT(reading(corpus, 1), HasSubstr("deleted or changed after the corpus was opened"));
    replace(1, sound);
    EXPECT_EQ(reading(corpus, 1), "") << "restored";
    fs::resize_file(shard(1), sound.size() / 2);  // in place
    EXPECT_THAT(reading(corpus, 1), HasSubstr("train-00001.h5"));
    replace(1, sound);
  }
}

TEST(Fault105, StartsOfARange) {
  const TemporaryDirectory d;
  write_corpus(d.path() / "c", 10, 3);
  const Corpus corpus = Corpus::open(d.path() / "c", Split::train);
  using Starts = std::vector<std::uint64_t>;
  EXPECT_EQ(corpus.document_starts(0, 1), Starts{0});
  EXPECT_EQ(corpus.document_starts(1, 50), Starts{});
  EXPECT_EQ(corpus.document_starts(1, 51), Starts{50});
  EXPECT_EQ(corpus.document_starts(100, 201), (Starts{100, 150, 200}));
  EXPECT_EQ(corpus.document_starts(400, 500), (Starts{400, 450}));
}

TEST(Fault111, EveryDamageIsListed) {
  const TemporaryDirectory d;
  write_corpus(d.path() / "c", 6, 6);
  const auto silent = [](std::uint64_t, std::uint64_t) {};
  std::uint64_t last = 0, all = 0;
  EXPECT_TRUE(verify_corpus(d.path() / "c", true, [&](std::uint64_t done, std::uint64_t total) {
                EXPECT_GE(done, last);
                last = done, all = total;
              }).empty());
  EXPECT_EQ(last, 6u * (kShardTokens * 2 + 8));
  EXPECT_EQ(last, all);
  const auto flip = [&](const char* name, std::string_view dataset) {
    const std::string path = d / name;
    std::string content = read_text(path);
    for (const Dataset& set : read_structure(File::open(path)).datasets)
      if (set.name == dataset) content[set.offset] ^= 1;
    write_text(path, content);
  };
  flip("c/train-00001.h5", "tokens");
  flip("c/train-00002.h5", "document_starts");
  fs::remove(d / "c/train-00003.h5");
  fs::resize_file(d / "c/train-00005.h5", 5000);
  write_text(d / "c/tokenizer.model", model_file({"\u2581"}).bytes());
  EXPECT_THAT(
      verify_corpus(d.path() / "c", true, silent),
      testing::ElementsAre(HasSubstr("tokenizer.model: is not the tokenizer"),
                           HasSubstr("train-00001.h5: damaged: tokens do not"),
                           HasSubstr("train-00002.h5: damaged: document_starts do not"),
                           HasSubstr("train-00003.h5: cannot open"), HasSubstr("train-00005.h5")));
  EXPECT_EQ(verify_corpus(d.path() / "c", false, silent).size(), 3u) << "what sizes tell";
}

TEST(Fault111, TheListOfInputsIsCompared) {
  const PrepareFixture f;
  write_text(f / "a.txt", english());
  prepare_corpus(f.options("out", {f / "a.txt"}), no_report);
  const auto silent = [](std::uint64_t, std::uint64_t) {};
  EXPECT_TRUE(verify_corpus(f / "out", true, silent).empty());
  write_text(f / "out/sources.jsonl", "{}\n");
  EXPECT_THAT(verify_corpus(f / "out", true, silent),
              testing::ElementsAre(HasSubstr("sources.jsonl: damaged")));
}

}  // namespace
}  // namespace tern
