// Bits per byte, and text from models: what is counted, what begins and ends a document.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/corpus.h"
#include "tests/apps/tiny_run.h"

namespace tern::test {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

Outcome tern_command(std::vector<std::string> args) {
  args.insert(args.begin(), sibling_program("tern"));
  return run({.args = args, .env = {{"OMP_NUM_THREADS", "1"}}});
}

// bytes of the text that the first tokens of a corpus spell
std::size_t bytes_of_first(const Corpus& corpus, std::size_t tokens) {
  std::vector<std::int32_t> ids(tokens);
  corpus.read(0, ids);
  return corpus.tokenizer().decode(ids).size();
}

nlohmann::json last_validation(const fs::path& run) {
  return nlohmann::json::parse(reports(run, {"val"}).back());
}

// a corpus of rare characters, with the tokenizer of tiny_corpus(): a byte a token, or less
fs::path rare_corpus(const TinyRun& tiny, const std::vector<std::string>& options = {}) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += std::string("~^|{}\u4f60").substr(std::size_t(i % 6), 2);
  write_text(tiny.room() / "rare.txt", text);
  const std::string out = (tiny.room() / "rare").string();
  std::vector<std::string> args = {
      "prepare",      "--tokenizer", (tiny_corpus() / "tokenizer.model").string(), "--out", out,
      "--validation", "0.5",         (tiny.room() / "rare.txt").string()};
  args.insert(args.end(), options.begin(), options.end());
  const Outcome outcome = tern_command(args);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return out;
}

TEST(Fault108, BitsPerByteOfTrainingCountTheScoredText) {
  const TinyRun tiny;
  const fs::path rare = rare_corpus(tiny);
  const std::string config = (tiny.room() / "two.toml").string();
  write_text(config,
             read_text(tiny.config()) + "[[data.source]]\npath = \"" + rare.string() + "\"\n");
  // 256 tokens of each of the two sources, as logging.validation_tokens says
  double bytes = 0;
  for (const fs::path& path : {tiny_corpus(), rare}) {
    const Corpus corpus = Corpus::open(path, Split::validation);
    bytes += double(bytes_of_first(corpus, 257));
  }
  for (const char* ranks : {"1", "3"}) {
    Command command = tiny.command(ranks, {"run.steps=2"}, {"--ranks", ranks});
    command.args[2] = config;
    const Outcome outcome = run(command);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const nlohmann::json line = last_validation(tiny.directory(ranks));
    const double loss = line.at("loss");
    EXPECT_NEAR(line.at("bits_per_byte").get<double>(), loss * 512 / std::log(2.0) / bytes, 1e-4);
  }
}

TEST(Fault108, EvalAndTrainingAgree) {
  const TinyRun tiny;
  const fs::path rare = rare_corpus(tiny, {"--no-bos"});
  ASSERT_EQ(run(tiny.command("a", {"run.steps=2", "logging.validation_interval=2",
                                   "logging.validation_tokens=100000",
                                   "data.source.0.path=" + rare.string()}))
                .exit_code,
            0);
  const nlohmann::json line = last_validation(tiny.directory("a"));
  const Outcome eval =
      tern_command({"eval", "--checkpoint", tiny.directory("a").string(), "--data", rare.string()});
  const auto at = eval.out.find("bits per byte   ");
  ASSERT_NE(at, std::string::npos) << eval.out << eval.err;
  EXPECT_NEAR(std::stod(eval.out.substr(at + 16)), line.at("bits_per_byte").get<double>(), 1e-3);
  const Corpus corpus = Corpus::open(rare, Split::validation);
  const auto first = bytes_of_first(corpus, 1);
  EXPECT_THAT(eval.out, HasSubstr("(" + std::to_string(corpus.text_bytes() - first) + " bytes"))
      << "the first token is not scored";
}

}  // namespace
}  // namespace tern::test
