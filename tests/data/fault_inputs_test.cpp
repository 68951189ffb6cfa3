// What `tern prepare` and `tern tokenizer train` take: directories as they are met, separators
// between documents, fields of JSON lines, spellings of paths, large alphabets, few threads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "data/corpus/batches.h"
#include "data/io/json.h"
#include "tests/data/checkpoint_support.h"
#include "tests/data/compress.h"
#include "tests/data/prepare_fixture.h"
#include "tests/support/process.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// ---- directories

std::vector<std::string> listed(const fs::path& directory, std::string* said = nullptr) {
  const std::vector<std::string> inputs = {directory.string()};
  std::vector<std::string> out;
  for (const InputFile& s : list_inputs(inputs, std::nullopt, [&](const std::string& line) {
         if (said) *said += line + '\n';
       }))
    out.push_back(s.path.lexically_relative(directory));
  return out;
}

TEST(Fault116, ExtensionsInAnyCase) {
  const TemporaryDirectory d;
  for (const char* name : {"a.TXT", "b.Ndjson", "c.JSONL.GZ", "d.md", "e.rst", "f.u16", "g.text"})
    write_text(d / name, "x");
  std::string said;
  EXPECT_THAT(listed(d.path(), &said),
              ElementsAre("a.TXT", "b.Ndjson", "c.JSONL.GZ", "d.md", "e.rst", "f.u16", "g.text"));
  EXPECT_EQ(said, "");
  EXPECT_EQ(list_inputs(std::vector<std::string>{d / "b.Ndjson"}, std::nullopt)[0].format,
            InputFormat::json_lines);
}

TEST(Fault116, WhatIsLeftOutIsSaid) {
  const TemporaryDirectory d;
  fs::create_directories(d / ".ipynb_checkpoints");
  fs::create_directories(d / "deep/.git");
  for (const char* name : {"a.txt", "._a.txt", ".ipynb_checkpoints/a.txt", "deep/.git/b.txt",
                           "1.parquet", "2.PARQUET", "3.parquet", "4.parquet", "LICENSE"})
    write_text(d / name, "x");
  fs::create_symlink("nowhere", d / "gone.txt");
  std::string said;
  EXPECT_THAT(listed(d.path(), &said), ElementsAre("a.txt"));
  for (const char* part :
       {"left out: ", "4 .parquet (", ", ...)", "3 hidden (", "._a.txt", "deep/.git",
        "1 without extension (LICENSE)", "1 broken links (gone.txt)"})
    EXPECT_THAT(said, HasSubstr(part));
  fs::remove(d / "a.txt");
  EXPECT_THAT(message_of(Fault::input, [&] { listed(d.path()); }), HasSubstr("4 .parquet"));
}

TEST(Fault116, LinksAreFollowedOnce) {
  const TemporaryDirectory d, elsewhere;
  fs::create_directories(d / "in/b");
  write_text(d / "in/b/real.txt", "x");
  write_text(elsewhere / "far.txt", "x");
  fs::create_directory_symlink("b", d / "in/a");               // the same folder again
  fs::create_directory_symlink("..", d / "in/b/loop");         // a cycle
  fs::create_directory_symlink(elsewhere.path(), d / "in/c");  // another one
  fs::create_directory_symlink(elsewhere.path(), d / "in/d");
  fs::create_symlink("b/real.txt", d / "in/again.txt");
  fs::create_symlink(d / "in", elsewhere / "back");
  std::string said;
  EXPECT_THAT(listed(d.path() / "in", &said), ElementsAre("b/real.txt", "c/far.txt"));
  EXPECT_THAT(said, HasSubstr("met before (a"));
}

// ---- JSON fields

TEST(Fault116, JsonFields) {
  EXPECT_EQ(read_json_line(R"({"text":"no","content":"yes"})", "content").text, "yes");
  EXPECT_EQ(read_json_line(R"({"a":{"x":[{"b":"no"}],"c":{"b":"no"},"b":"yes"}})", "a.b").text,
            "yes");
  EXPECT_EQ(read_json_line(R"({"b":"no","a.b":"yes"})", "a.b").text, "yes");
  EXPECT_EQ(read_json_line(R"({"a":{"b":{"c":"yes"}},"c":"no"})", "a.b.c").text, "yes");
  for (const auto& [line, problem] : std::vector<std::pair<std::string, std::string>>{
           {R"({"text":"x"})", "has no field 'a.b'"},
           {R"({"a":"x"})", "has no field 'a.b'"},
           {R"({"a":{"c":"x"},"b":"x"})", "has no field 'a.b'"},
           {R"({"a":[{"b":"x"}]})", "has no field 'a.b'"},
           {R"({"a":{"b":null}})", "expected text in the field 'a.b', got null"},
           {R"({"a":{"b":"x","b":"y"}})", "there twice"},
           {R"({"a":{"b":"x"},"a.b":"y"})", "there twice"}})
    EXPECT_THAT(read_json_line(line, "a.b").problem, HasSubstr(problem)) << line;
}

TEST(Fault116, PrepareTakesTheFieldThatIsNamed) {
  const PrepareFixture f;
  write_text(f / "a.jsonl", "{\"doc\":{\"body\":\"one\"}}\n{\"doc\":{\"body\":\"two\"}}\n");
  PrepareOptions options = f.options("out", {f / "a.jsonl"});
  EXPECT_THAT(message_of(Fault::input, [&] { prepare_corpus(options, no_report); }),
              HasSubstr("has no field 'text'"));
  options.out = f / "other";
  options.rules.json_field = "doc.body";
  prepare_corpus(options, no_report);
  EXPECT_EQ(small_tokenizer().decode(f.ids("other")), "onetwo");
  options.rules.json_field = "doc";
  EXPECT_THAT(message_of(Fault::usage, [&] { prepare_corpus(options, no_report); }),
              HasSubstr("json_field: \"doc.body\" then, \"doc\" now"));
}

// ---- separators

std::vector<std::string> documents(const PrepareFixture& f, const std::string& out,
                                   Split split = Split::train) {
  const Corpus corpus = Corpus::open(f / out, split);
  const std::vector<std::int32_t> ids = f.ids(out, split);
  std::vector<std::uint64_t> starts = corpus.document_starts();
  starts.push_back(ids.size());
  std::vector<std::string> texts;
  for (std::size_t i = 0; i + 1 < starts.size(); ++i)
    texts.push_back(
        small_tokenizer().decode(std::span(ids).subspan(starts[i], starts[i + 1] - starts[i])));
  return texts;
}

TEST(Fault125, ASeparatorDividesAFileIntoDocuments) {
  const PrepareFixture f;
  write_text(f / "a.txt", "\ufeff<|><|>one\n<|>\ntwo<|<|><|>three|><|>");
  write_text(f / "b.txt.gz", compressed(Codec::gzip, "four<|>five"));
  write_text(f / "c.jsonl", "{\"text\":\"six<|>\"}\n");
  PrepareOptions options = f.options("out", {f / "a.txt", f / "b.txt.gz", f / "c.jsonl"});
  options.rules.separator = "<|>";
  prepare_corpus(options, no_report);
  EXPECT_THAT(documents(f, "out"),
              ElementsAre("one\n", "\ntwo<|", "three|>", "four", "five", "six<|>"));
}

TEST(Fault125, SeparatorsAcrossBlocksAndInterruptions) {
  const PrepareFixture f;
  std::mt19937_64 random(25);
  const std::string separator = "\n<|endoftext|>\n";
  std::vector<std::string> expected;
  std::string text;
  // documents of about a block of 256 KiB, so that its end is at every place within a separator
  for (std::size_t n = 0; n <= 16; ++n) {
    std::string document = english().substr(random() % 99);
    while (document.size() < (std::size_t(256) << 10)) document += english();
    document.resize((std::size_t(256) << 10) - n);
    for (const std::string& d : {document, std::string("<|endoftext|"), std::string("x")}) {
      text += d + separator;
      expected.push_back(d);
    }
    text += separator;  // an empty one
  }
  write_text(f / "a.txt", text);
  PrepareOptions options = f.options("whole", {f / "a.txt"});
  options.rules.separator = separator;
  options.shard_tokens = 300'000;
  options.threads = 2;
  prepare_corpus(options, no_report);
  ASSERT_TRUE(documents(f, "whole") == expected);
  options.out = f / "out";
  for (const int stop : {3, 9}) {
    fs::remove_all(f / "out");
    EXPECT_THROW(prepare_corpus(options,
                                [&, seen = 0](const PrepareProgress&) mutable {
                                  if (++seen == stop) throw std::runtime_error("interrupted");
                                }),
                 std::runtime_error);
    prepare_corpus(options, no_report);
    ASSERT_EQ(f.content("out"), f.content("whole")) << stop;
  }
  options.rules.separator = "\n";
  EXPECT_THAT(message_of(Fault::usage, [&] { prepare_corpus(options, no_report); }),
              HasSubstr("separator: "));
  options.rules.separator = "";
  EXPECT_THAT(message_of(Fault::usage, [&] { prepare_corpus(options, no_report); }),
              HasSubstr("then, none now"));
}

TEST(Fault125, ValidationDrawsDocumentsThatSeparatorsDivide) {
  const PrepareFixture f;
  std::string text;
  for (int i = 0; i < 100; ++i) text += std::to_string(i) + "\n\n";
  write_text(f / "a.txt", text);
  PrepareOptions options = f.options("out", {f / "a.txt"});
  options.rules.separator = "\n\n";
  options.validation = 0.1;
  prepare_corpus(options, no_report);
  EXPECT_EQ(documents(f, "out").size(), 90u);
  EXPECT_EQ(documents(f, "out", Split::validation).size(), 10u);
}

TEST(Fault125, AHugeTextIsRefusedAtOnce) {
  const PrepareFixture f;
  write_text(f / "a.txt", "text");
  fs::resize_file(f / "a.txt", (std::uint64_t(1) << 30) + 1);  // sparse: takes no disk
  const std::string message =
      message_of(Fault::input, [&] { prepare_corpus(f.options("out", {f / "a.txt"}), no_report); });
  EXPECT_THAT(message, HasSubstr("is one document of 1073741825 B, expected at most 1073741824"));
  EXPECT_THAT(message, HasSubstr("--separator"));
  EXPECT_FALSE(fs::exists(f / "out"));
}

// ---- spellings

TEST(Fault115, AnotherSpellingOfAPathIsTheSameSource) {
  const PrepareFixture f;
  write_text(f / "a.txt", english());
  fs::create_directory_symlink(".", f / "link");
  const auto prepared = [&](const std::string& path) {
    PrepareOptions options = f.options("out", {path});
    options.shard_tokens = 100;
    return prepare_corpus(options, no_report);
  };
  PrepareOptions options = f.options("out", {f / "a.txt"});
  options.shard_tokens = 100;
  EXPECT_THROW(
      prepare_corpus(options, [](const PrepareProgress&) { throw std::runtime_error(""); }),
      std::runtime_error);
  EXPECT_FALSE(prepared(f / "./link/./a.txt").was_finished) << "continued";
  for (const std::string& path :
       {f / "a.txt", f / ".//a.txt", f / "link/a.txt", fs::relative(f / "a.txt").string(),
        "./" + fs::relative(f / "a.txt").string()})
    EXPECT_TRUE(prepared(path).was_finished) << path;
  write_text(f / "b.txt", english());
  EXPECT_THAT(message_of(Fault::usage, [&] { prepared(f / "b.txt"); }),
              testing::ContainsRegex("a.txt .* then, .*b.txt .* now"));
}

TEST(Fault115, LongValuesAreCutToWhereTheyDiffer) {
  const PrepareFixture f;
  write_text(f / "a.txt", english());
  PrepareOptions options = f.options("out", {f / "a.txt"});
  options.rules.separator = std::string(100, '-') + "one";
  prepare_corpus(options, no_report);
  options.rules.separator = std::string(100, '-') + "two";
  const std::string message = message_of(Fault::usage, [&] { prepare_corpus(options, no_report); });
  EXPECT_THAT(message, HasSubstr("--one\" then, ..."));
  EXPECT_THAT(message, HasSubstr("--two\" now"));
}

// ---- large alphabets

// text of 8000 Chinese characters, the first far more frequent than the last
std::string chinese(std::size_t characters) {
  std::mt19937_64 random(26);
  std::uniform_real_distribution<double> uniform;
  std::string text;
  for (std::size_t i = 0; i < characters; ++i) {
    const auto rank = std::uint32_t(std::pow(8000, uniform(random))) - 1;
    const std::uint32_t code = 0x4e00 + rank;
    text += {char(0xe0 | code >> 12), char(0x80 | (code >> 6 & 63)), char(0x80 | (code & 63))};
    if (i % 40 == 39) text += "\u3002\n";
  }
  return text;
}

std::string trained(const std::string& given, TokenizerTraining options) {
  std::optional<std::string> text = given;
  return train_tokenizer([&] { return std::exchange(text, std::nullopt); }, options);
}

std::size_t single_characters(const std::string& model) {
  std::size_t n = 0;
  const Tokenizer t = Tokenizer::parse(model, "t");
  for (std::int32_t id = 259; id < t.vocab_size(); ++id) n += t.spelling(id, false).size() <= 3;
  return n;
}

TEST(Fault126, SmallVocabulariesOfLargeAlphabets) {
  const std::string text = chinese(60'000);
  std::string said;
  const std::string model =
      trained(text, {.vocab_size = 4000, .notice = [&](const std::string& s) { said += s; }});
  const Tokenizer t = Tokenizer::parse(model, "t");
  EXPECT_EQ(t.vocab_size(), 4000);
  EXPECT_EQ(t.decode(t.encode(text)), text) << "bytes spell the others";
  EXPECT_NEAR(double(single_characters(model)), (4000 - 259) / 2.0, 30);
  EXPECT_THAT(said, HasSubstr("has no room for the"));
  EXPECT_LT(t.encode(text).size(), 110'000u) << "merges were learned";

  said.clear();
  EXPECT_LT(single_characters(trained(text, {.vocab_size = 4000, .character_coverage = 0.5})),
            single_characters(model) / 4);
  EXPECT_THAT(message_of(Fault::usage,
                         [&] { trained(text, {.vocab_size = 4000, .character_coverage = 1}); }),
              HasSubstr("or lower --character-coverage"));
  trained(english(), {.vocab_size = 400, .notice = [&](const std::string& s) { said += s; }});
  EXPECT_EQ(said, "") << "a small alphabet fits";
}

// ---- few threads

TEST(Fault112, FewerThreadsWhereTheSystemAllowsNoMore) {
  const PrepareFixture f;
  PrepareOptions options = f.options("whole", f.many_inputs());
  options.threads = 8;
  options.notice = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  prepare_corpus(options, no_report);
  fs::permissions(f / "", fs::perms::all);
  for (const rlim_t limit : {1, 4}) {
    options.out = f / ("out" + std::to_string(limit));
    const Outcome o = run({.body =
                               [&] {
                                 prepare_corpus(options, no_report);
                                 return 0;
                               },
                           .limits = {{RLIMIT_NPROC, limit}},
                           .unprivileged = true});
    EXPECT_EQ(o.exit_code, 0) << o.signal << o.err;
    if (::geteuid() == 0) {
      EXPECT_THAT(o.err, HasSubstr("--threads 8: the system allows ")) << limit;
    }
    EXPECT_EQ(f.content("out" + std::to_string(limit)), f.content("whole"));
  }
}

TEST(Fault112, ATokenizerWithoutAThreadIsOneLine) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to drop privileges";
  const Outcome o = run({.body =
                             [] {
                               const std::string message = message_of(
                                   Fault::memory, [] { trained(english(), {.vocab_size = 400}); });
                               std::fputs(message.c_str(), stderr);
                               return 0;
                             },
                         .limits = {{RLIMIT_NPROC, 1}},
                         .unprivileged = true});
  EXPECT_EQ(o.exit_code, 0) << o.signal << o.err;
  EXPECT_THAT(o.err, HasSubstr("tokenizer: the system allows no more threads"));
}

TEST(Fault112, BatchesAndCheckpointsWithoutAThread) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to drop privileges";
  const TemporaryDirectory d;
  fs::permissions(d.path(), fs::perms::all);
  const TokenSource source{.name = "s",
                           .token_count = 100,
                           .read = [](std::uint64_t first, std::span<std::int32_t> ids) {
                             for (std::int32_t& id : ids) id = std::int32_t(first++);
                           }};
  const BatchReader reader({source}, {.context = 4});
  const auto body = [&] {
    Loader loader(reader, 2);
    for (const std::uint64_t at : {0, 2, 4})
      if (loader.next().inputs != reader.read(at, 2).inputs) return 10;
    loader.seek(3);
    if (loader.next().inputs != reader.read(3, 2).inputs || loader.position() != 5) return 11;
    CheckpointWriter writer({.directory = d.path()});
    writer.save(facts(7), all_kinds().views());
    const std::vector<SaveResult> saved = writer.poll();
    return saved.size() == 1 && saved[0].error.empty() &&
                   Checkpoint::open(saved[0].path).verify().problems.empty()
               ? 0
               : 12;
  };
  const Outcome o = run({.body = body, .limits = {{RLIMIT_NPROC, 1}}, .unprivileged = true});
  EXPECT_EQ(o.exit_code, 0) << o.signal << o.err;
}

}  // namespace
}  // namespace tern
