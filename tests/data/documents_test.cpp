#include "data/text/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "core/check.h"
#include "data/io/json.h"
#include "data/text/utf8.h"
#include "tests/data/compress.h"
#include "tests/data/tokenizer_fixture.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

std::size_t at_characters(std::string_view text) {
  return text.size() - incomplete_suffix(text);
}

std::vector<InputFile> sources_of(const std::vector<std::string>& inputs) {
  return list_inputs(inputs, std::nullopt);
}

DocumentReader source_of(const std::vector<std::string>& inputs, double validation = 0) {
  const auto sources = sources_of(inputs);
  return DocumentReader(std::make_shared<const std::vector<InputFile>>(sources),
                        SplitRule(validation, sources), at_characters);
}

struct Document {
  std::string text;
  Split split;
};

std::vector<Document> documents_of(DocumentReader source) {
  std::vector<Document> documents;
  bool inside = false;
  while (const auto batch = source.next())
    for (const TextItem& item : batch->items) {
      EXPECT_NE(inside, item.first);
      if (item.first) documents.push_back({"", item.split});
      EXPECT_EQ(documents.back().split, item.split);
      documents.back().text += batch->of(item);
      inside = !item.last;
    }
  EXPECT_FALSE(inside);
  return documents;
}

std::vector<std::string> texts_of(const std::vector<Document>& documents) {
  std::vector<std::string> texts;
  for (const Document& d : documents) texts.push_back(d.text);
  return texts;
}

TEST(Sources, FilesDirectoriesAndGlobsInOrder) {
  const TemporaryDirectory d;
  fs::create_directories(d / "in/deep");
  for (const char* name :
       {"in/b.txt", "in/a.jsonl", "in/deep/c.txt.gz", "in/notes.pdf", "x1.txt", "x0.txt"})
    write_text(d / name, "");
  const auto names = [&](const std::vector<std::string>& inputs) {
    std::vector<std::string> out;
    for (const InputFile& s : sources_of(inputs))
      out.push_back(s.path.lexically_relative(d.path()));
    return out;
  };
  EXPECT_THAT(names({d / "in"}), ElementsAre("in/a.jsonl", "in/b.txt", "in/deep/c.txt.gz"));
  EXPECT_THAT(names({d / "x?.txt", d / "in/b.txt"}), ElementsAre("x0.txt", "x1.txt", "in/b.txt"));
  const auto one = sources_of({d / "in/deep/c.txt.gz"}).at(0);
  EXPECT_EQ(one.codec, Codec::gzip);
  EXPECT_EQ(one.format, InputFormat::text);
  EXPECT_THROW(sources_of({d / "in/notes.pdf"}), Error);
  const std::vector<std::string> notes = {d / "in/notes.pdf"};
  EXPECT_EQ(list_inputs(notes, InputFormat::text).size(), 1u);
}

TEST(DocumentReader, GivesDocumentsWhateverTheCompression) {
  const TemporaryDirectory d;
  std::string text = "\ufeff";
  while (text.size() < 3'000'000) text += english();
  for (const Codec codec : {Codec::none, Codec::gzip, Codec::zstd, Codec::xz}) {
    const std::string ending[] = {"", ".gz", ".zst", ".xz"};
    const std::string name = d / ("a.txt" + ending[std::size_t(codec)]);
    const std::size_t half = text.size() / 2;
    if (codec == Codec::none)
      write_text(name, text);
    else  // two members
      write_text(name,
                 compressed(codec, text.substr(0, half)) + compressed(codec, text.substr(half)));
    EXPECT_THAT(texts_of(documents_of(source_of({name}))), ElementsAre(text.substr(3)))
        << name << ": the byte-order mark goes, all else stays";
  }
}

TEST(DocumentReader, GivesLinesAndLeavesOutEmptyOnes) {
  const TemporaryDirectory d;
  write_text(d / "a.jsonl", "\ufeff{\"text\": \"one\"}\r\n\n  \n{\"text\": \"two\"}");
  write_text(d / "b.txt", "");
  write_text(d / "c.txt", "three");
  DocumentReader source = source_of({d / "a.jsonl", d / "b.txt", d / "c.txt"});
  const auto batch = source.next();
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->items.size(), 3u);
  EXPECT_EQ(read_json_line(batch->of(batch->items[0])).text, "one");
  EXPECT_EQ(read_json_line(batch->of(batch->items[1])).text, "two");
  EXPECT_EQ(batch->items[1].line, 4u);
  EXPECT_EQ(batch->of(batch->items[2]), "three");
  EXPECT_FALSE(source.next());
}

TEST(DocumentReader, GoesOnFromAnyBatch) {
  std::mt19937_64 random(5);
  const TemporaryDirectory d;
  const Tokenizer& tokenizer = small_tokenizer();
  std::string lines, text, tokens;
  for (int i = 0; i < 30'000; ++i)
    lines += "{\"text\":\"" + std::string(random() % 200, 'x') + "\"}\n" + (i % 7 ? "" : "\n");
  while (text.size() < 5'000'000) text += random_text(random, 500, true) + english();
  text += std::string(2 << 20, 'a');
  tokens.resize(3 << 20, '\1');
  write_text(d / "1.txt", text);
  write_text(d / "2.jsonl", lines);
  write_text(d / "3.bin", tokens);
  write_text(d / "4.txt.zst", compressed(Codec::zstd, text));
  for (const double validation : {0.0, 0.3}) {
    std::vector<InputFile> sources = sources_of({d / "1.txt", d / "3.bin", d / "4.txt.zst"});
    if (validation == 0) sources.push_back(sources_of({d / "2.jsonl"})[0]);
    const SplitRule rule(validation, sources);
    const auto cut = [&](std::string_view t) { return tokenizer.complete_prefix(t); };
    std::vector<TextBatch> batches;
    const auto shared = std::make_shared<const std::vector<InputFile>>(sources);
    DocumentReader whole(shared, rule, cut);
    while (auto batch = whole.next()) batches.push_back(std::move(*batch));
    ASSERT_GT(batches.size(), 10u);
    for (std::size_t i = 0; i + 1 < batches.size(); ++i) {
      DocumentReader rest(shared, rule, cut, batches[i].next);
      const auto batch = rest.next();
      ASSERT_TRUE(batch);
      ASSERT_EQ(batch->bytes, batches[i + 1].bytes);
      ASSERT_EQ(batch->items.size(), batches[i + 1].items.size());
    }
  }
}

TEST(Splits, DividesOneTextAtItsEnd) {
  const TemporaryDirectory d;
  const std::string text(1'115'394, 'x');  // as long as tinyshakespeare
  write_text(d / "a.txt", text);
  write_text(d / "b.txt.gz", compressed(Codec::gzip, text));
  for (const std::string name : {"a.txt", "b.txt.gz"}) {
    const auto documents = documents_of(source_of({d / name}, 0.1));
    ASSERT_EQ(documents.size(), 2u);
    EXPECT_EQ(documents[0].text.size(), 1'003'854u) << "int(0.9 * n)";
    EXPECT_EQ(documents[1].text.size(), 111'540u);
    EXPECT_EQ(documents[1].split, Split::validation);
  }
  write_text(d / "c.txt", "aaaaaa\u4f60\u597d");  // 12 bytes; the cut at 7 moves back to 6
  EXPECT_THAT(texts_of(documents_of(source_of({d / "c.txt"}, 0.4))),
              ElementsAre("aaaaaa", "\u4f60\u597d"));
}

TEST(Splits, DrawsOneDocumentOfEveryStratum) {
  const TemporaryDirectory d;
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += "{\"text\":\"" + std::to_string(i) + "\"}\n";
  write_text(d / "a.jsonl", lines);
  std::vector<int> places;
  int n = 0;
  for (const Document& document : documents_of(source_of({d / "a.jsonl"}, 0.1))) {
    if (document.split == Split::validation) places.push_back(n);
    ++n;
  }
  ASSERT_EQ(places.size(), 100u);
  std::vector<int> within;
  for (std::size_t i = 0; i < places.size(); ++i) {
    EXPECT_EQ(places[i] / 10, int(i));
    within.push_back(places[i] % 10);
  }
  EXPECT_THAT(within, testing::Contains(testing::Ne(within[0]))) << "at random places";
  EXPECT_THROW(SplitRule(1, sources_of({d / "a.jsonl"})), Error);
  EXPECT_THROW(SplitRule(-0.1, sources_of({d / "a.jsonl"})), Error);
  EXPECT_THROW(SplitRule(0.0 / 0.0, sources_of({d / "a.jsonl"})), Error);
}

TEST(JsonLines, TakesTextAndNamesProblems) {
  EXPECT_EQ(read_json_line(R"({"id":1,"text":"a\n\u00e9\ud83d\ude00","meta":{"text":"no"}})").text,
            "a\n\u00e9\U0001f600");
  EXPECT_EQ(read_json_line(R"({"meta":[{"text":3}],"text":""})").problem, "");
  const std::vector<std::pair<std::string, std::string>> problems = {
      {R"({"text":null})", "got null"},
      {R"({"text":["a"]})", "got a list"},
      {R"({"text":{"a":"b"}})", "an object"},
      {R"({"text":3})", "got a number"},
      {R"({"txt":"a"})", "has no field"},
      {R"(["text"])", "expected an object"},
      {R"("text")", "expected an object"},
      {R"({"text":"a"} x)", "not valid JSON"},
      {R"({"text":"a)", "not valid JSON"},
      {R"({"text":"\ud800"})", "not valid JSON"},
      {"{\"text\":\"\xff\"}", "not valid JSON"},
      {R"({"text":"a","text":"b"})", "there twice"},
      {std::string("{\"text\":\"a\"}\0", 13), "not valid JSON"},
      {std::string(100, '['), "expected an object"},
      {"{\"a\":" + std::string(100'000, '[') + "}", "nested more than 64"}};
  for (const auto& [line, problem] : problems)
    EXPECT_THAT(read_json_line(line).problem, testing::HasSubstr(problem)) << line.substr(0, 80);
}

}  // namespace
}  // namespace tern
