// Row 323: states that are damaged, truncated, of other programs, versions, models or tokenizers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/run/open_model.h"
#include "data/io/hash.h"
#include "runtime/state_file.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/complaint.h"

namespace tern::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
namespace fs = std::filesystem;
using Facts = std::map<std::string, std::string>;

// Another file with these facts and tensors, its hash right.
void write_again(const fs::path& from, const fs::path& to,
                 const std::function<void(Facts&, std::vector<SafetensorsTensor>&)>& change) {
  const SafetensorsFile file = SafetensorsFile::open(from);
  Facts facts = file.metadata();
  std::vector<SafetensorsTensor> tensors;
  for (const auto& [name, e] : file.entries())
    if (name != "hash") tensors.push_back({name, e.type, e.shape});
  change(facts, tensors);
  tensors.push_back({"hash", StoredType::u8, {16}});
  fs::remove(to);
  File out = File::create(to);
  SafetensorsWriter writer(out, tensors, facts);
  for (std::size_t i = 0; i + 1 < tensors.size(); ++i)
    writer.append(std::vector<std::byte>(tensors[i].bytes()));
  writer.append(hash_bytes(writer.written()->bytes()));
  writer.finish();
}

class StateFault : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    tiny_ = new TinyRun;
    for (const char* name : {"a", "other"})
      ASSERT_EQ(run(tiny_->command(name, {"run.steps=1", "run.seed=" + std::to_string(name[0])}))
                    .exit_code,
                0);
    const Outcome outcome = generate("a", {"--prompt", "ROMEO:", "-n", "3", "--state-out", good()});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  static void TearDownTestSuite() { delete tiny_; }
  static std::string good() { return (tiny_->room() / "good").string(); }
  static Outcome generate(const std::string& model, std::vector<std::string> options) {
    options.insert(options.begin(), {sibling_program("tern"), "generate", "--checkpoint",
                                     tiny_->directory(model).string()});
    return run({.args = options, .env = {{"OMP_NUM_THREADS", "1"}}});
  }

  // What opening the file at path_ says.
  std::string refusal() const {
    const SavedModel saved = open_model(tiny_->directory("a"));
    return complaint([&] { StateFile::open(path_, owner_of(saved), saved.config.model); });
  }
  std::string refusal_of(const std::string& bytes) const {
    write_text(path_, bytes);
    return refusal();
  }
  std::string refusal_with(
      const std::function<void(Facts&, std::vector<SafetensorsTensor>&)>& change) const {
    write_again(good(), path_, change);
    return refusal();
  }
  std::string refusal_with(const std::string& key, const std::string& value) const {
    return refusal_with([&](Facts& facts, auto&) { facts[key] = value; });
  }

  static TinyRun* tiny_;
  TemporaryDirectory room_;
  const fs::path path_ = room_ / "state";
};
TinyRun* StateFault::tiny_ = nullptr;
using Fault323 = StateFault;

TEST_F(Fault323, AStateThatIsWrittenAgainIsAsGood) {
  EXPECT_EQ(refusal_of(read_text(good())), "");
  EXPECT_EQ(refusal_with([](auto&, auto&) {}), "");
}

TEST_F(Fault323, AFlippedBitAnywhereIsNoticed) {
  const std::string state = read_text(good());
  for (std::size_t at = 0; at < state.size(); ++at) {
    std::string bad = state;
    bad[at] ^= 1;
    EXPECT_NE(refusal_of(bad), "") << at;
  }
  std::string bad = state;
  bad[state.size() - 40] ^= 1;
  EXPECT_THAT(refusal_of(bad), AllOf(HasSubstr("expected the hash "), HasSubstr("got "),
                                     HasSubstr("is damaged"), HasSubstr("--state-out")));
}

TEST_F(Fault323, ATruncatedStateIsNoticed) {
  const std::string state = read_text(good());
  for (std::size_t bytes = 0; bytes < state.size(); bytes += 7)
    EXPECT_THAT(refusal_of(state.substr(0, bytes)),
                AllOf(HasSubstr(path_.string()), HasSubstr("make it anew with --state-out")))
        << bytes;
  EXPECT_NE(refusal_of(state.substr(0, state.size() - 1)), "");
  EXPECT_NE(refusal_of(state + 'x'), "");
}

TEST_F(Fault323, FactsThatAreNoneAreNamed) {
  EXPECT_THAT(refusal_with("format", "pt"), HasSubstr("expected a state that --state-out wrote"));
  EXPECT_THAT(refusal_with("version", "2"),
              HasSubstr("expected version 1 of the format tern-state, got \"2\""));
  for (const char* bad : {"", "-1", "3x", "99999999999", "1e3"})
    EXPECT_THAT(refusal_with("positions", bad), HasSubstr("positions: expected a whole number"))
        << bad;
  EXPECT_THAT(refusal_with("unread", "320"), HasSubstr("from 0 to 319, got \"320\""));
  EXPECT_EQ(refusal_with("unread", "1\n2").find('\n'), std::string::npos) << "one line";
  EXPECT_THAT(refusal_with("drawn", "x"), HasSubstr("drawn: expected a whole number"));
  EXPECT_THAT(refusal_with("text_begins", "2"), HasSubstr("text_begins"));
  for (const char* bad : {"a", "zz", "00112233", "0x"})
    EXPECT_THAT(refusal_with("held", bad), HasSubstr("held: expected 0 to 3 bytes")) << bad;
  for (const char* key : {"version", "model", "tokenizer", "positions", "unread", "held"})
    EXPECT_THAT(refusal_with([&](Facts& facts, auto&) { facts.erase(key); }),
                HasSubstr(std::string("expected '") + key + "', got none"));
}

TEST_F(Fault323, TensorsThatDoNotFitTheModelAreNamed) {
  const auto with = [&](const std::function<void(std::vector<SafetensorsTensor>&)>& change) {
    return refusal_with([&](Facts&, std::vector<SafetensorsTensor>& t) { change(t); });
  };
  EXPECT_THAT(with([](auto& t) { t.pop_back(); }), HasSubstr("no tensor 'layers.1.state.0'"));
  EXPECT_THAT(with([](auto& t) {
                t[0].shape = {1, 17};
              }),
              HasSubstr("'layers.0.state.0': expected"));
  EXPECT_THAT(with([](auto& t) { t[0].type = StoredType::i32; }),
              HasSubstr("expected real numbers"));
  EXPECT_THAT(with([](auto& t) {
                t.push_back({"layers.2.state.0", StoredType::f32, {1, 16}});
              }),
              HasSubstr("expected 3 tensors, got 4"));
}

// The cache of a Transformer is as long as the positions say, and the file as they say.
TEST_F(Fault323, ACacheIsAsLongAsItsPositions) {
  const std::vector<std::string> overrides = {"run.steps=1", "model.type=transformer",
                                              "model.num_attention_heads=2"};
  ASSERT_EQ(run(tiny_->command("t", overrides)).exit_code, 0);
  ASSERT_EQ(generate("t", {"--prompt", "ROMEO:", "-n", "3", "--state-out", path_}).exit_code, 0);
  const fs::path bad = room_ / "bad";
  const SavedModel saved = open_model(tiny_->directory("t"));
  for (const char* positions : {"0", "5", "2147483648"}) {
    write_again(path_, bad, [&](Facts& facts, auto&) { facts["positions"] = positions; });
    EXPECT_THAT(complaint([&] { StateFile::open(bad, owner_of(saved), saved.config.model); }),
                HasSubstr(std::string("at position ") + positions));
  }
}

void expect_one_line(const Outcome& outcome, const std::string& what) {
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr(what));
  EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
}

TEST_F(Fault323, OfAnotherModelOrTokenizerItIsRefused) {
  expect_one_line(generate("other", {"--state-in", good(), "--prompt", "a"}),
                  "is the state of another model: expected the fingerprint ");
  EXPECT_THAT(refusal_with("tokenizer", "0123"), HasSubstr("with another tokenizer: expected"));
}

TEST_F(Fault323, TheCommandSaysOneLineAndExitsWith3) {
  const std::string state = read_text(good());
  for (const std::string& bad :
       {std::string(), state.substr(0, 300), state.substr(0, state.size() - 1),
        std::string("hello"), read_text("tests/golden/tiny_model.safetensors")}) {
    write_text(path_, bad);
    expect_one_line(generate("a", {"--state-in", path_}), path_.string());
  }
  expect_one_line(generate("a", {"--state-in", room_ / "none"}), "none: cannot open");
  expect_one_line(generate("a", {"--state-in", room_.path().string()}), "got a directory");
}

TEST_F(Fault323, InspectSaysWhatAStateIsAndWhetherItIsWhole) {
  const auto inspect = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {sibling_program("tern"), "inspect"});
    return run({.args = arguments});
  };
  const Outcome outcome = inspect({good(), "--all"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const Facts facts = SafetensorsFile::open(good()).metadata();
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("state of    model " + facts.at("model")),
                                 HasSubstr("positions   " + facts.at("positions") +
                                           ", then token " + facts.at("unread") + ','),
                                 HasSubstr("drawn       3 tokens"), HasSubstr("layers.0.state.0"),
                                 HasSubstr("good: every byte")));
  std::string bytes = read_text(good());
  bytes[bytes.size() / 2] ^= 1;
  write_text(path_, bytes);
  expect_one_line(inspect({path_}), "the file is damaged");
}

TEST_F(Fault323, AnotherFileIsNotReplaced) {
  write_text(path_, "precious");
  const Outcome outcome = generate("a", {"--state-out", path_});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("expected a new file, or an earlier state to replace"));
  EXPECT_EQ(read_text(path_), "precious");
  const std::string none = room_ / "none/state";
  EXPECT_EQ(generate("a", {"--state-out", none}).exit_code, 6);
  fs::copy(good(), path_, fs::copy_options::overwrite_existing);
  EXPECT_EQ(generate("a", {"--state-in", path_, "--state-out", path_, "-n", "2"}).exit_code, 0);
  EXPECT_EQ(SafetensorsFile::open(path_).metadata().at("drawn"), "5") << "of both runs";
}

}  // namespace
}  // namespace tern::test
