// Row 104: what is written is never more than its reader accepts, whatever the number of files,
// documents, shards and layers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/checkpoint/manifest.h"
#include "data/corpus/prepare_journal.h"
#include "data/text/input_files.h"
#include "data/tokenizer/sentencepiece_model.h"
#include "tests/data/prepare_fixture.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

std::size_t lines_of(const std::string& path) {
  const std::string text = read_text(path);
  return std::size_t(std::count(text.begin(), text.end(), '\n'));
}

// Turns the arguments into what earlier releases wrote: every file listed in them.
json with_list(json arguments, const std::string& list) {
  std::istringstream lines(read_text(list));
  json files = json::array();
  for (std::string line; std::getline(lines, line);) files.push_back(json::parse(line));
  arguments["sources"] = files;
  return arguments;
}

TEST(Fault104, TheManifestDoesNotGrowWithTheInputs) {
  const PrepareFixture f;
  fs::create_directory(f / "in");
  for (int i = 0; i < 1500; ++i) write_text(f / ("in/" + std::to_string(i) + ".txt"), "boat ");
  prepare_corpus(f.options("out", {f / "in"}), no_report);
  EXPECT_LT(fs::file_size(f / "out/manifest.json"), 2000u);
  EXPECT_EQ(lines_of(f / "out/sources.jsonl"), 1500u);
  const json sources = Corpus::open(f / "out", Split::train).manifest().arguments["sources"];
  EXPECT_EQ(sources["files"], 1500);
  EXPECT_EQ(sources["bytes"], 7500);
  EXPECT_EQ(sources["xxh3"], f.content("out").at("sources.jsonl"));
}

TEST(Fault104, CorporaOfEarlierReleasesAreTheSame) {
  const PrepareFixture f;
  write_text(f / "a.txt", english());
  write_text(f / "b.txt", english());
  const PrepareOptions options = f.options("out", {f / "a.txt", f / "b.txt"});
  prepare_corpus(options, no_report);
  const auto whole = f.content("out");
  json manifest = json::parse(read_text(f / "out/manifest.json"));
  const json arguments = with_list(manifest["arguments"], f / "out/sources.jsonl");
  manifest["arguments"] = arguments;
  write_text(f / "out/manifest.json", manifest.dump(1));
  fs::remove(f / "out/sources.jsonl");
  EXPECT_EQ(Corpus::open(f / "out", Split::train).manifest().arguments["sources"]["files"], 2);
  EXPECT_TRUE(prepare_corpus(options, no_report).was_finished);

  fs::remove_all(f / "out");  // unfinished ones go on
  fs::create_directory(f / "out");
  write_text(f / "out/prepare.journal",
             json({{"format", 1}, {"arguments", arguments}}).dump() + "\n");
  EXPECT_FALSE(prepare_corpus(options, no_report).was_finished);
  EXPECT_EQ(f.content("out"), whole);
}

TEST(Fault104, TheInputThatDiffersIsNamed) {
  const PrepareFixture f;
  for (const char* name : {"a.txt", "b.txt", "c.txt"}) write_text(f / name, name);
  prepare_corpus(f.options("out", {f / "a.txt", f / "b.txt"}), no_report);
  const auto refusal = [&](const std::vector<std::string>& inputs) {
    return message_of(Fault::usage, [&] { prepare_corpus(f.options("out", inputs), no_report); });
  };
  EXPECT_THAT(refusal({f / "a.txt", f / "c.txt"}),
              HasSubstr("input 2: " + (f / "b.txt") + " (5 B, text) then, " + (f / "c.txt") +
                        " (5 B, text) now"));
  EXPECT_THAT(refusal({f / "a.txt"}), HasSubstr("b.txt (5 B, text) then, none now"));
  EXPECT_THAT(refusal({f / "a.txt", f / "b.txt", f / "c.txt"}), HasSubstr("input 3: none then"));
  EXPECT_EQ(refusal({f / "./a.txt", f / "b.txt"}), "") << "another spelling of the same path";
}

TEST(Fault104, DamagedListsOfInputsAreRefusedOrShown) {
  const PrepareFixture f;
  write_text(f / "a.txt", english());
  const PrepareOptions options = f.options("out", {f / "a.txt"});
  prepare_corpus(options, no_report);
  const std::string whole = read_text(f / "out/manifest.json");
  for (const char* list : {R"([{"bytes":""}])", "[1]", R"([{"bytes":-1e30}])",
                           R"([{"bytes":5,"path":1,"format":"text","compression":"none"}])"}) {
    json manifest = json::parse(whole);
    manifest["arguments"]["sources"] = json::parse(list);
    EXPECT_THAT(
        message_of(Fault::input, [&] { parse_corpus_manifest(manifest.dump(), "manifest.json"); }),
        HasSubstr("sources"))
        << list;
  }
  const std::vector<InputFile> sources = {{.path = "b.txt", .bytes = 3}};
  for (const char* line : {R"({"path":1})", R"({"path":"c","bytes":"5"})", "5", "no JSON"}) {
    write_text(f / "out/sources.jsonl", line + std::string("\n"));
    EXPECT_THAT(source_difference(f / "out", sources).value_or(""), HasSubstr(line));
  }
}

TEST(Fault104, MoreInputsThanTheLimitAreRefused) {
  const std::vector<InputFile> sources(11, InputFile{.path = "a.txt", .bytes = 3});
  EXPECT_EQ(source_summary(sources, 11)["files"], 11);
  EXPECT_THAT(message_of(Fault::input, [&] { source_summary(sources, 10); }),
              HasSubstr("at most 10 input files, got 11"));
}

// a manifest with that many shards
CorpusManifest large_manifest(std::size_t shards) {
  CorpusManifest m{.tokenizer_hash = std::string(32, 'a'),
                   .vocab_size = 400,
                   .arguments = {{"text", std::string(kMaxCorpusArgumentBytes - 20, 'x')}},
                   .splits = {}};
  const std::uint64_t most = std::uint64_t(1) << 53;
  m.splits[1].assign(shards, {"validation-99999.h5", most, most, most, std::string(32, 'a'),
                              std::string(32, 'b')});
  return m;
}

TEST(Fault104, ShardsUpToTheLimitAreReadAndMoreAreNotWritten) {
  const std::string text = to_text(large_manifest(1000));  // a hundredth: it is quicker
  EXPECT_LT(kMaxCorpusArgumentBytes + (text.size() - kMaxCorpusArgumentBytes) * 100,
            kMaxCorpusManifestBytes);
  EXPECT_EQ(parse_corpus_manifest(text, "m").of(Split::validation).size(), 1000u);
  require_shard_count(kMaxCorpusShards);
  EXPECT_THAT(message_of(Fault::usage, [] { to_text(large_manifest(kMaxCorpusShards + 1)); }),
              HasSubstr("larger --shard-tokens"));
  CorpusManifest m = large_manifest(1);
  m.arguments["more"] = "0123456789012345";
  EXPECT_THAT(message_of(Fault::usage, [&] { to_text(m); }), HasSubstr("options of at most"));
}

TEST(Fault104, TooSmallShardsAreRefusedAtTheStart) {
  const PrepareFixture f;
  write_text(f / "a.jsonl", "");
  fs::resize_file(f / "a.jsonl", std::uintmax_t(64) << 30);  // holes
  PrepareOptions options = f.options("out", {f / "a.jsonl"});
  options.shard_tokens = 1000;
  EXPECT_THAT(message_of(Fault::usage, [&] { prepare_corpus(options, no_report); }),
              HasSubstr("at most 100000 shards"));
  options.shard_tokens = std::uint64_t(1) << 40;
  EXPECT_THAT(message_of(Fault::usage, [&] { prepare_corpus(options, no_report); }),
              HasSubstr("--shard-tokens: expected 1 to 4294967296"));
}

TEST(Fault104, ManifestsOfTheDeepestModelAreRead) {
  Manifest m;
  m.version = "0.1.0";
  const std::uint64_t rows = 65'536, most = std::uint64_t(1) << 53;
  const std::string hash(32, 'a');
  for (int file = 0; file < 8; ++file)
    m.files.push_back({"rank-00" + std::to_string(file) + "-part-00.h5", most, hash});
  for (int layer = 0; layer < 1024; ++layer)
    for (int i = 0; i < 45; ++i) {
      StoredTensor t{"second_moment.blocks." + std::to_string(layer) +
                         ".channel_mixer.gate_projection.weight." + std::to_string(i),
                     StoredType::f32,
                     {rows, 65'536},
                     {}};
      t.pieces.push_back({m.files[0].name, most / 2, t.bytes(), 0, rows, hash});
      m.tensors.push_back(std::move(t));
    }
  const std::string text = to_text(m);
  EXPECT_GT(text.size(), std::size_t(16) << 20);
  EXPECT_EQ(parse_manifest(text, "m").tensors.size(), m.tensors.size());
}

TEST(Fault104, DocumentsWithoutTokensAreNotDocuments) {
  const PrepareFixture f;
  write_text(f / "default.model", default_sentencepiece_model());  // removes spaces
  std::string lines;
  for (int i = 0; i < 50; ++i) lines += "{\"text\": \"  \"}\n";
  write_text(f / "a.jsonl", "{\"text\": \"boat\"}\n" + lines);
  PrepareOptions options = f.options("out", {f / "a.jsonl"});
  options.tokenizer = f / "default.model";
  options.layout = {.bos = false, .eos = false};
  prepare_corpus(options, no_report);
  const Corpus corpus = Corpus::open(f / "out", Split::train);
  EXPECT_EQ(corpus.document_starts(), std::vector<std::uint64_t>{0});
}

}  // namespace
}  // namespace tern
