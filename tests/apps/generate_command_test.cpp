// tern generate: where a prompt comes from, what ends a text, turns; rows 322 and 324.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include "tests/apps/tiny_run.h"
#include "tests/support/refusal.h"

namespace tern::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
namespace fs = std::filesystem;

class Generate : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    tiny_ = new TinyRun;
    ASSERT_EQ(run(tiny_->command("a", {"run.steps=3"})).exit_code, 0);
  }
  static void TearDownTestSuite() { delete tiny_; }

  static Command command(std::vector<std::string> options) {
    options.insert(options.begin(), {sibling_program("tern"), "generate", "--checkpoint",
                                     tiny_->directory("a").string()});
    return {.args = options, .env = {{"OMP_NUM_THREADS", "1"}}};
  }
  static Outcome with_input(const std::vector<std::string>& options, const std::string& input,
                            std::chrono::minutes limit = std::chrono::minutes(1)) {
    Command c = command(options);
    c.input = input;
    return run(c, limit);
  }
  static std::string text(const std::vector<std::string>& options, const std::string& input = {},
                          std::chrono::minutes limit = std::chrono::minutes(1)) {
    const Outcome outcome = with_input(options, input, limit);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return outcome.out;
  }

  static TinyRun* tiny_;
  TemporaryDirectory room_;
  const std::string file_ = room_ / "prompt";
};
TinyRun* Generate::tiny_ = nullptr;
using Fault219Command = Generate;
using Fault322 = Generate;
using Fault324 = Generate;

TEST_F(Generate, APromptOfAFileIsReadToItsLastByteAndNotShown) {
  for (const std::string& prompt :
       {std::string("ROMEO:\n"), std::string("a\0b \xff\n\n", 7), std::string(5000, 'x')}) {
    write_text(file_, prompt);
    const std::string follows = text({"--prompt-file", file_, "-n", "12"});
    EXPECT_EQ(text({"--prompt-file", "-", "-n", "12"}, prompt), follows);
    EXPECT_EQ(text({"-n", "12"}, prompt), follows) << "standard input without any option";
    if (prompt.find('\0') != prompt.npos) continue;
    EXPECT_EQ(text({"--prompt", prompt, "-n", "12"}), prompt + follows) << "this one is shown";
  }
  // cold: where all tokens are about as likely, a draw by index seldom depends on the logits
  const std::vector<std::string> cold = {"-n", "12", "--temperature", "0.01"};
  EXPECT_NE(text(cold, "ROMEO:"), text(cold, "ROMEO:\n")) << "the last newline";
}

TEST_F(Generate, WithAPromptStandardInputIsNotRead) {
  EXPECT_EQ(text({"--prompt", "", "-n", "12"}, "ROMEO:"), text({"-n", "12"}));
}

TEST_F(Fault219Command, OptionsOfSamplingThatCannotBeAreNamed) {
  const auto refused = [](const std::vector<std::string>& options, const std::string& what) {
    expect_refused(run(command(options)), 2, what);
  };
  for (const char* bad : {"nan", "-nan", "inf", "-inf", "-1", "-1e-300", "1e400"})
    refused({"--prompt", "a", std::string("--temperature=") + bad}, "--temperature: ");
  for (const char* bad : {"0", "-0", "-0.1", "1.0000001", "2", "nan", "inf"})
    refused({"--prompt", "a", std::string("--top-p=") + bad}, "--top-p: ");
  for (const char* bad : {"-1", "1.5", "nan", "9223372036854775808"})
    refused({"--prompt", "a", std::string("--top-k=") + bad}, "--top-k: ");
  for (const char* bad : {"-1", "1e3", "9223372036854775808"})
    refused({"--prompt", "a", "-n", bad}, "-n");
  for (const char* bad : {"-1", "1.5", "18446744073709551616"})
    refused({"--prompt", "a", std::string("--seed=") + bad}, "--seed: ");
}

// The ends of what is allowed, of a checkpoint and of its packed file.
TEST_F(Fault219Command, ExtremesOfSamplingAreDefined) {
  const std::string packed = room_ / "m.safetensors";
  const Outcome exported =
      run({.args = {sibling_program("tern"), "export", "--to", "packed", "--embedding", "f32",
                    "--checkpoint", tiny_->directory("a").string(), "--out", packed}});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  const auto with = [&](std::vector<std::string> options) {
    options.insert(options.end(), {"--prompt", "ROMEO:", "-n", "12"});
    const std::string out = text(options);
    Command c = command(options);
    c.args[3] = packed;
    EXPECT_EQ(run(c).out, out) << options[0];
    return out;
  };
  const std::string likeliest = with({"--temperature", "0"}), drawn = with({"--seed", "1"});
  EXPECT_NE(drawn, likeliest);
  EXPECT_EQ(with({"--temperature", "1e-300"}), likeliest);
  EXPECT_EQ(with({"--top-k", "1"}), likeliest);
  EXPECT_EQ(with({"--top-p", "1e-300"}), likeliest);
  EXPECT_EQ(with({"--seed", "1", "--top-p", "1"}), drawn);
  for (const char* k : {"0", "320", "9223372036854775807"})
    EXPECT_EQ(with({"--seed", "1", "--top-k", k}), drawn) << k;
  EXPECT_NE(with({"--temperature", "1e300"}), likeliest);
  with({"--seed", "18446744073709551615"});
}

// A recurrent model plans no memory for them; the cache of a Transformer does not fit.
TEST_F(Fault219Command, MoreTokensThanCanBeAreDefined) {
  const TinyRun transformer;
  ASSERT_EQ(run(transformer.command(
                    "t", {"run.steps=1", "model.type=transformer", "model.num_attention_heads=2"}))
                .exit_code,
            0);
  for (const char* n : {"100000000000", "9223372036854775807"}) {
    Command endless = command({"--prompt", "ROMEO:", "-n", n});
    Process process(endless);
    EXPECT_TRUE(process.wait_for("ROMEO:")) << n;
    endless.args[3] = transformer.directory("t").string();
    expect_refused(run(endless), 5, "out of memory: ");
  }
}

// A million bytes that are no text, many times the context of 16 tokens.
TEST_F(Fault219Command, ALongPromptOfAnyBytesIsRead) {
  std::string prompt;
  for (std::uint64_t i = 0; i < 1'000'000; ++i) prompt += char(i * i * 2654435761u >> 13);
  write_text(file_, prompt);
  const std::vector<std::string> options = {"-n", "12", "--temperature", "0"};
  auto from_file = options;
  from_file.insert(from_file.end(), {"--prompt-file", file_});
  constexpr std::chrono::minutes kLong(4);  // on a busy machine
  const std::string follows = text(from_file, {}, kLong);
  EXPECT_GT(follows.size(), 1u);
  EXPECT_EQ(text(options, prompt, kLong), follows);
}

TEST_F(Fault322, WithoutInputThePromptIsEmpty) {
  const std::string expected = text({"--prompt", "", "-n", "12"});
  EXPECT_GT(expected.size(), 5u);
  EXPECT_EQ(text({"-n", "12"}), expected) << "a pipe that ends at once";
  Command closed = command({"-n", "12"});
  closed.closed_input = true;
  EXPECT_EQ(run(closed).out, expected);
  Command null = command({});
  null.args = {"sh", "-c", "exec \"$@\" -n 12 < /dev/null", "sh"};
  const auto rest = command({}).args;
  null.args.insert(null.args.end(), rest.begin(), rest.end());
  EXPECT_EQ(run(null).out, expected);
  Command terminal = command({"-n", "12"});
  terminal.columns = 80;
  const Outcome outcome = run(terminal);
  EXPECT_FALSE(outcome.timed_out) << "a terminal is not read";
  EXPECT_EQ(outcome.exit_code, 0);
}

TEST_F(Fault322, PromptsThatCannotBeReadAreNamed) {
  const auto refused = [&](const std::string& file, const std::string& what) {
    expect_refused(run(command({"--prompt-file", file})), 3, what);
  };
  refused(room_ / "none", "none: cannot open: No such file");
  refused(room_.path().string(), "expected a regular file, got a directory");
  refused("", "cannot open");
  ASSERT_EQ(mkfifo(file_.c_str(), 0600), 0);
  refused(file_, "expected a regular file, got a");
  const std::string wide("\xff\xfeR\0", 4);
  write_text(room_ / "wide", wide);
  refused(room_ / "wide", "wide: is UTF-16: convert it, for example with iconv");
  expect_refused(with_input({}, wide), 3, "standard input: is UTF-16");
  expect_refused(run(command({"--prompt", "", "--prompt-file", file_})), 2,
                 "expected --prompt or --prompt-file, got both");
  expect_refused(run(command({"--interactive", "--prompt-file", "-"})), 2,
                 "expected a file beside --interactive");
}

TEST_F(Generate, AStopTextEndsIt) {
  const std::vector<std::string> options = {"--prompt", "ROMEO:", "-n", "60", "--temperature", "0"};
  const std::string whole = text(options);
  const std::string follows = whole.substr(6);
  const std::string stop = follows.substr(4, 3);
  auto with = options;
  with.insert(with.end(), {"--stop", "ROMEO", "--stop=nowhere, at all", "--stop", stop});
  EXPECT_EQ(text(with), "ROMEO:" + follows.substr(0, follows.find(stop)) + '\n');
  expect_refused(run(command({"--stop", ""})), 2, "--stop: expected a text, got an empty one");
}

TEST_F(Generate, AStateGoesOnAsOneRun) {
  const std::vector<std::string> seed = {"--temperature", "1.3", "--seed", "5"};
  const auto with = [&](std::vector<std::string> options) {
    options.insert(options.end(), seed.begin(), seed.end());
    return text(options);
  };
  const std::string state = room_ / "state";
  const std::string whole = with({"--prompt", "ROMEO:", "-n", "40"});
  std::string parts = with({"--prompt", "ROMEO:", "-n", "0", "--state-out", state});
  for (const char* n : {"13", "1", "26"}) {
    parts.pop_back();  // the newline behind each
    parts += with({"-n", n, "--state-in", state, "--state-out", state});
  }
  const std::string held = whole.substr(parts.size() - 1);
  EXPECT_EQ(whole, parts.substr(0, parts.size() - 1) + held);
  EXPECT_LE(held.size(), 4u) << "the beginning of a character, and the newline";
}

TEST_F(Generate, EachLineOfAPipeIsATurn) {
  const auto turns = [&](const std::string& input, std::vector<std::string> options = {}) {
    options.insert(options.end(), {"--interactive", "-n", "9", "--temperature", "0"});
    return text(options, input);
  };
  const auto once = [&](const std::string& prompt, const std::string& n = "9") {
    return text({"--prompt-file", "-", "-n", n, "--temperature", "0"}, prompt);
  };
  EXPECT_EQ(turns(""), "");
  EXPECT_EQ(turns("ROMEO:\n"), once("ROMEO:"));
  EXPECT_EQ(turns("ROMEO:"), once("ROMEO:")) << "the last line without a newline";
  EXPECT_EQ(turns("ROMEO:\n", {"--prompt", "x"}), "x\n" + once("xROMEO:"));
  std::string two = turns("ROMEO:\n\n");
  two.erase(two.find('\n', once("ROMEO:").size() - 1), 1);
  EXPECT_EQ(two, once("ROMEO:", "18")) << "an empty line goes on";
  const std::string a = room_ / "a", b = room_ / "b";
  const std::string both = turns("ROMEO:\nJULIET:\n", {"--state-out", a});
  const std::string first = text({"-n", "9", "--temperature", "0", "--state-out", b}, "ROMEO:");
  EXPECT_EQ(both, first + text({"-n", "9", "--temperature", "0", "--state-in", b, "--state-out", b},
                               "JULIET:"));
  EXPECT_EQ(read_text(a), read_text(b)) << "the second line is read on top of the first";
  turns("ROMEO:\\\nJULIET:\n", {"--state-out", a});
  text({"-n", "9", "--temperature", "0", "--state-out", b}, "ROMEO:\nJULIET:");
  EXPECT_EQ(read_text(a), read_text(b)) << "one turn of two lines";
}

TEST_F(Generate, AStopTextEndsEachTurn) {
  const std::string answer =
      text({"--prompt-file", "-", "-n", "30", "--temperature", "0"}, "ROMEO:");
  const std::string stop = answer.substr(4, 3);
  const std::string shown = answer.substr(0, answer.find(stop)) + '\n';
  const std::string turns =
      text({"--interactive", "-n", "30", "--temperature", "0", "--stop", stop}, "ROMEO:\nROMEO:\n");
  EXPECT_THAT(turns, StartsWith(shown));
  EXPECT_EQ(turns.find(stop, shown.size()), turns.npos);
  EXPECT_GT(turns.size(), shown.size());
}

TEST_F(Fault324, AClosedPipeEndsItQuietly) {
  Command closed = command({"-n", "10000000"});
  closed.broken_output = true;
  const Outcome outcome = run(closed);
  EXPECT_EQ(outcome.signal, SIGPIPE);
  EXPECT_EQ(outcome.err, "");
}

TEST_F(Fault324, AFullDiskIsSaid) {
  Command full = command({});
  full.args = {"sh", "-c", "exec \"$@\" > /dev/full", "sh"};
  const auto rest = command({}).args;
  full.args.insert(full.args.end(), rest.begin(), rest.end());
  expect_refused(run(full), 6, "standard output: cannot write");
}

TEST_F(Fault324, AnInterruptEndsAnAnswerAndTheNextTheProgram) {
  const std::string state = room_ / "state";
  Command endless = command({"--interactive", "-n", "1000000000", "--prompt", "begin",
                             "--temperature", "0", "--state-out", state});
  endless.columns = 80;
  Process process(endless);
  ASSERT_TRUE(process.wait_for_prompt("begin\r\n> "));
  for (const char* line : {"ROMEO:\n", "JULIET:\n"}) {
    process.type(line);
    ASSERT_TRUE(process.wait_for(std::string("> ") + line[0]));
    EXPECT_FALSE(process.wait_for_prompt("\r\n> ", std::chrono::milliseconds(300))) << "it answers";
    process.type("\x03");
    ASSERT_TRUE(process.wait_for_prompt("\r\n> ")) << "it takes a line again";
  }
  EXPECT_FALSE(fs::exists(state));
  process.type("\x03");
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.signal;
  EXPECT_TRUE(fs::exists(state)) << "what was written is saved";
}

TEST_F(Fault324, TheEndOfInputEndsTheProgram) {
  Command turns = command({"--interactive", "-n", "3"});
  turns.columns = 80;
  Process process(turns);
  ASSERT_TRUE(process.wait_for_prompt("> "));
  process.type("a\\\n");
  ASSERT_TRUE(process.wait_for_prompt("\r\n. ")) << "the line goes on";
  process.type("b\n");
  ASSERT_TRUE(process.wait_for_prompt("\r\n> "));
  process.type("\x04");
  EXPECT_EQ(process.wait().exit_code, 0);
}

}  // namespace
}  // namespace tern::test
