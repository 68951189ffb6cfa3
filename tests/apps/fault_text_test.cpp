// Bits per byte, and text from models: what is counted, what begins and ends a document.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/corpus/corpus.h"
#include "runtime/checkpoints.h"
#include "runtime/text_generator.h"
#include "runtime/training_state.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/npy.h"

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

std::string generated(const TinyRun& tiny, const std::string& name, const std::string& prompt) {
  const Outcome o = tern_command(
      {"generate", "--checkpoint", tiny.directory(name).string(), "-n", "12", "--prompt", prompt});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  return o.out;
}

TEST(Fault122, APromptThatEndsInsideACharacterIsShownOnce) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("a", {"run.steps=1"})).exit_code, 0);
  for (const std::string prompt :
       {"x\xc3", "x\xe4\xbd", "\xf0\x9f\x98", "x\xff\xe4", "x\xff", "x\xe4\xbd\xa0"}) {
    const std::string text = generated(tiny, "a", prompt);
    EXPECT_TRUE(text.starts_with(prompt)) << testing::PrintToString(text);
    const std::size_t n = std::min<std::size_t>(prompt.size(), 2);
    const std::string end = prompt.substr(prompt.size() - n);
    EXPECT_NE(text.substr(prompt.size(), n), end) << testing::PrintToString(text);
  }
}

TEST(Fault122, ACharacterIsCompletedByTheTokensThatFollow) {
  const Tokenizer t = Corpus::open(tiny_corpus(), Split::train).tokenizer();
  Decoder decoder(t, false, "\xe4\xbd");
  EXPECT_EQ(decoder.push(t.encode("\xa0")[0]), "\u4f60");
  EXPECT_EQ(decoder.finish(), "");
  Decoder cut(t, false, "\xe4\xbd");
  EXPECT_EQ(cut.push(t.encode("a")[0]),
            "\xe4\xbd"
            "a")
      << "nothing is lost";
}

// bos, eos that a checkpoint of one step on this data says
std::pair<bool, bool> ends(const TinyRun& tiny, const std::string& name, const fs::path& data) {
  const Outcome o = run(tiny.command(name, {"run.steps=1", "data.source.0.path=" + data.string()}));
  EXPECT_EQ(o.exit_code, 0) << o.err;
  const auto manifest =
      nlohmann::json::parse(read_text(tiny.checkpoint(name, 1) / "manifest.json"));
  const nlohmann::json& state = manifest.at("state");
  return {state.at("bos").get<bool>(), state.at("eos").get<bool>()};
}

std::string first_ids(const TinyRun& tiny, const std::string& name, const std::string& text) {
  const std::string out = (tiny.room() / (name + "-trace")).string();
  fs::remove_all(out);
  const Outcome o = tern_command(
      {"trace", "--checkpoint", tiny.directory(name).string(), "--text", text, "--out", out});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  return std::to_string(read_npy(out + "/lm_head.output.npy").shape[0]);
}

TEST(Fault124, DocumentsBeginAsTheDataWasMade) {
  const TinyRun tiny;
  const fs::path bare = rare_corpus(tiny, {"--no-bos"});
  EXPECT_EQ(ends(tiny, "with", tiny_corpus()), std::pair(true, true));
  EXPECT_EQ(ends(tiny, "bare", bare), std::pair(false, true));
  EXPECT_EQ(first_ids(tiny, "with", "~~"), "3");
  EXPECT_EQ(first_ids(tiny, "bare", "~~"), "2") << "no bos in front";
  EXPECT_EQ(generated(tiny, "bare", "").size() > 1, true) << "begins after eos";
  const Outcome eval = tern_command(
      {"eval", "--checkpoint", tiny.directory("bare").string(), "--data", tiny_corpus().string()});
  EXPECT_THAT(eval.err, HasSubstr("documents have bos and eos, those that the model was trained on "
                                  "eos and no bos"));
}

TEST(Fault124, TokenFilesSayItThemselves) {
  const TinyRun tiny;
  for (const int bos : {0, 1}) {
    std::string bytes;
    for (int i = 0; i < 300; ++i)
      bytes += std::string{char(i % 100 == 0 && bos ? 1 : 65 + i % 7), '\0'};
    const std::string file = (tiny.room() / ("t" + std::to_string(bos) + ".bin")).string();
    write_text(file, bytes);
    const fs::path out = tiny.room() / std::to_string(bos);
    ASSERT_EQ(tern_command({"prepare", "--tokenizer", (tiny_corpus() / "tokenizer.model").string(),
                            "--out", out.string(), file})
                  .exit_code,
              0);
    const DocumentLayout layout = Corpus::open(out, Split::train).layout();
    EXPECT_EQ(layout.bos, bos == 1);
    EXPECT_FALSE(layout.eos);
  }
}

TEST(Fault124, PromptsFollowTheLayout) {
  const Tokenizer t = Corpus::open(tiny_corpus(), Split::train).tokenizer();
  const auto x = t.encode("~")[0];
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(prompt_ids(t, {.bos = true, .eos = true}, "~"), (Ids{t.bos_id(), x}));
  EXPECT_EQ(prompt_ids(t, {.bos = true, .eos = false}, ""), (Ids{t.bos_id()}));
  EXPECT_EQ(prompt_ids(t, {.bos = false, .eos = true}, "~"), (Ids{x}));
  EXPECT_EQ(prompt_ids(t, {.bos = false, .eos = true}, ""), (Ids{t.eos_id()}));
  EXPECT_EQ(prompt_ids(t, {.bos = false, .eos = false}, ""), Ids{});
  EXPECT_TRUE(training_state(nlohmann::json::parse(R"({"step": 1, "position": 0, "adam_steps": 1,
      "skipped": 0, "tokenizer_hash": "", "data_hashes": []})"),
                             "old")
                  .documents.bos)
      << "checkpoints that do not say so";
}

// A checkpoint whose model and tokenizer have different vocabularies: ids would be read beyond the
// embedding.
TEST(Fault42, ACheckpointWithAnotherVocabularyThanItsTokenizerIsRefused) {
  const TinyRun tiny;
  EXPECT_EQ(run(tiny.command("run", {"run.steps=1"})).exit_code, 0);
  const fs::path path = tiny.checkpoint("run", 1) / "manifest.json";
  Manifest manifest = parse_manifest(read_text(path), path.string());
  std::string toml = manifest.config.at("toml");
  const std::size_t at = toml.find("vocab_size = 320");
  ASSERT_NE(at, std::string::npos);
  manifest.config["toml"] = toml.replace(at, 16, "vocab_size = 300");
  write_text(path, to_text(manifest));
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"generate", "--prompt", "a"},
        {"trace", "--text", "a", "--out", (tiny.room() / "trace").string()},
        {"eval", "--data", tiny_corpus().string()}}) {
    std::vector<std::string> args = command;
    args.insert(args.end(), {"--checkpoint", tiny.checkpoint("run", 1).string()});
    const Outcome o = tern_command(args);
    EXPECT_EQ(o.exit_code, 3) << o.err;
    EXPECT_THAT(o.err,
                HasSubstr("model.vocab_size: expected 320, the size of its tokenizer, got 300"));
  }
}

}  // namespace
}  // namespace tern::test
