// The command line of the program: what a user types, word by word.
#include "apps/commands/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "apps/system/environment.h"
#include "core/check.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Outcome tern_with(std::vector<std::string> args, const std::string& directory = "") {
  args.insert(args.begin(), sibling_program("tern"));
  return run({.args = args, .directory = directory});
}

void expect_refused(const std::vector<std::string>& args, const std::string& text) {
  SCOPED_TRACE(testing::PrintToString(args));
  tern::expect_refused(tern_with(args), 2, text);
}

TEST(Fault211, TheVersionIsPrinted) {
  for (const char* flag : {"--version", "-v"}) {
    const Outcome o = tern_with({flag});
    EXPECT_EQ(o.exit_code, 0);
    EXPECT_EQ(o.out, version_line() + "\n");
    EXPECT_THAT(o.out, StartsWith("tern " + std::string(version())));
  }
}

TEST(Fault211, InfoDescribesTheBuildAndTheMachine) {
  const Outcome o = tern_with({"info"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  for (const char* part : {"\ncompiler ", "\nCPU ", "\ninstructions ", "\nCPU kernels ",
                           "\nmemory ", "\nGPU", "\nCUDA plugin ", "\nNCCL plugin ",
                           "\nMPI plugin ", "\nRTL plugin ", "HDF5 1.", "Eigen 3."})
    EXPECT_THAT(o.out, HasSubstr(part));
}

TEST(Fault211, HelpComesBeforeRequiredArguments) {
  for (const auto& args : std::vector<std::vector<std::string>>{
           {"help", "train"}, {"train", "--help"}, {"train", "-h"}, {"train", "--bad", "--help"}}) {
    const Outcome o = tern_with(args);
    EXPECT_EQ(o.exit_code, 0);
    EXPECT_THAT(o.out,
                AllOf(HasSubstr("Usage: tern train [OPTIONS] CONFIG"), HasSubstr("--resume")));
  }
  EXPECT_THAT(tern_with({"help", "tokenizer", "train"}).out,
              HasSubstr("Usage: tern tokenizer train [OPTIONS] INPUT..."));
  expect_refused({"help", "trian"}, "unknown command 'trian' of tern: did you mean 'train'?");
}

TEST(Fault211, WithoutACommandAllAreListed) {
  const Outcome bare = tern_with({}), help = tern_with({"help"});
  EXPECT_EQ(bare.exit_code, 2);
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_EQ(bare.out, help.out);
  CLI::App app{"", "tern"};
  add_commands(app, {"tern"});
  for (const CLI::App* command : commands_of(app))
    EXPECT_THAT(bare.out, HasSubstr("\n  " + command->get_name() + ' '));
  const Outcome bench = tern_with({"bench"});
  EXPECT_EQ(bench.exit_code, 2);
  EXPECT_THAT(bench.out, AllOf(HasSubstr("gemm"), HasSubstr("bitlinear"), HasSubstr("attention")));
}

TEST(Fault211, UnknownWordsAreNamedWithASuggestion) {
  expect_refused({"trian"}, "unknown command 'trian': did you mean 'train'? See: tern help\n");
  expect_refused({"frobnicate"}, "unknown command 'frobnicate'. See: tern help\n");
  expect_refused({"bench", "gem"}, "bench: unknown command 'gem': did you mean 'gemm'?");
  expect_refused({"train", "--devise", "cpu"},
                 "train: unknown option '--devise': did you mean '--device'?");
  expect_refused({"generate", "-seed", "3"}, "unknown option '-seed': did you mean '--seed'?");
  expect_refused({"train", "x.toml", "--lr=1"},
                 "unknown option '--lr': expected --set optimizer.lr=VALUE.");
  expect_refused({"train", "--injekt", "x"}, "unknown option '--injekt'. See");  // hidden
}

TEST(Fault211, WhatIsMissingOrTooMuchIsNamed) {
  expect_refused({"train"}, "train: CONFIG is missing: expected TOML file");
  expect_refused({"train", "a.toml", "b.toml"},
                 "train: unexpected argument 'b.toml': expected nothing behind CONFIG.");
  expect_refused({"generate", "--prompt", "x"}, "generate: --checkpoint is missing");
  expect_refused({"generate", "--checkpoint"}, "--checkpoint: expected a value (a checkpoint");
  expect_refused({"generate", "--checkpoint", "--prompt", "x"},
                 "--checkpoint: expected a value (a checkpoint, a run directory, a Hugging Face "
                 "folder, or a packed file), got the option --prompt; if this is the value: "
                 "--checkpoint=--prompt");
  expect_refused(
      {"prepare", "a", "--format", "jsnl", "--tokenizer", "t", "--out", "o"},
      "prepare: --format: expected one of auto, text, jsonl, u16, u32; got 'jsnl': did you "
      "mean 'jsonl'?");
  expect_refused({"train", "a.toml", "--ranks", "0"}, "train: --ranks: expected 1 to 4096, got 0");
  expect_refused({"train", "a.toml", "--device", "cpu", "--device", "cuda"},
                 "train: --device: expected once, got it twice");
  expect_refused({"train", "a.toml", "--overwrite=no"}, "--overwrite: expected no value, got 'no'");
}

TEST(Fault211, BashCompletesCommandsOptionsAndValues) {
  const TemporaryDirectory room;
  write_text(room / "tern.bash", tern_with({"completion", "bash"}).out);
  const auto complete = [&](const std::string& words) {
    const Outcome o =
        run({.args = {"bash", "-c",
                      "set -eu; source " + (room / "tern.bash") + "; COMP_WORDS=(" + words +
                          "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tern; "
                          "[ ${#COMPREPLY[@]} = 0 ] || echo \"${COMPREPLY[*]}\""}});
    EXPECT_EQ(o.err, "");
    return o.out;
  };
  EXPECT_EQ(complete("tern tr"), "train trace\n");
  EXPECT_EQ(complete("tern help tok"), "tokenizer\n");
  EXPECT_EQ(complete("tern tokenizer ''"), "train encode decode export\n");
  EXPECT_EQ(complete("tern tokenizer train --voc"), "--vocab-size\n");
  EXPECT_EQ(complete("tern train --inj"), "");  // hidden
  EXPECT_EQ(complete("tern train a.toml --device cu"), "cuda\n");
  EXPECT_EQ(complete("tern prepare --format = j"), "jsonl\n");
  EXPECT_EQ(complete("tern train a.toml --set optimizer.l"), "optimizer.lr=\n");
  EXPECT_EQ(complete("tern train ''"), "");  // files, by readline
}

TEST(Fault211, TheManualNamesEveryCommandAndOption) {
  const std::string page = tern_with({"help", "--man"}).out;
  EXPECT_THAT(page, StartsWith(".TH TERN 1"));
  EXPECT_THAT(page, AllOf(HasSubstr("tern tokenizer train [OPTIONS] INPUT..."),
                          HasSubstr("\\-\\-vocab\\-size"), HasSubstr(".B 75\n")));
  EXPECT_THAT(page, Not(HasSubstr("inject")));
}

TEST(Fault119, PathsAreTakenAsTyped) {
  const TemporaryDirectory room;
  for (const char* name : {"[old]", "old", "{}", "%%", "++", "-x", "a,b", "train"}) {
    std::filesystem::create_directory(room / name);
    write_text(room / (std::string(name) + "/t.txt"), std::string("text of ") + name);
  }
  // What is read shows in the error: these tokenizers are no tokenizers.
  for (const char* name : {"[old]", "{}", "%%", "++", "a,b", "train"}) {
    EXPECT_THAT(tern_with({"golden", name}, room.path()).err,
                StartsWith("tern: error: " + std::string(name) + ":"));
    EXPECT_THAT(tern_with({"plot", name}, room.path()).err, HasSubstr(std::string(name)));
    EXPECT_THAT(tern_with({"inspect", name}, room.path()).err, HasSubstr(std::string(name) + ": "));
  }
  EXPECT_THAT(tern_with({"golden", "--", "-x"}, room.path()).err, StartsWith("tern: error: -x:"));
  EXPECT_THAT(tern_with({"golden", "none", "--", "-x"}, room.path()).err,
              StartsWith("tern: error: none:"));
  EXPECT_THAT(tern_with({"golden", ""}, room.path()).err, StartsWith("tern: error: :"));
}

// Another number than the one typed, or an option's value taken for an option: nowhere.
TEST(Fault119, ValuesAreTakenAsTyped) {
  struct Values {
    std::string text = "default";
    std::vector<std::string> list{}, words{};
    double real = 1;
    std::int64_t whole = 1;
    std::uint64_t natural = 1;
  };
  const auto read = [](const std::vector<std::string>& arguments) {
    Values v;
    CLI::App app{"", "tern"};
    CLI::App& go = *app.add_subcommand("go");
    go.add_option("--text", v.text);
    go.add_option("-n,--whole", v.whole);
    go.add_option("--natural", v.natural);
    go.add_option("--real", v.real);
    add_list(go, "--list", v.list, "");
    add_list(go, "WORD", v.words, "");
    std::vector<std::string> all{"go"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    EXPECT_EQ(run_command_line(app, all), 0);
    return v;
  };
  for (const char* text : {"", "[x]", "{}", "%%", "++", "@file", "a,b", "'q'", "\"q\"", "a=b", "-",
                           "-3", "- item", "go", "true", " x "}) {
    EXPECT_EQ(read({"--text", text}).text, text);
    EXPECT_EQ(read({std::string("--text=") + text, "w"}).text, text);
    EXPECT_EQ(read({"--list", text, std::string("--list=") + text}).list,
              (std::vector<std::string>{text, text}));
    EXPECT_EQ(read({"--", text, "--text", text}).words,
              (std::vector<std::string>{text, "--text", text}));
  }
  EXPECT_EQ(read({"--text=--real"}).text, "--real");
  EXPECT_EQ(read({"--text=--", "--real=-2"}).text, "--");
  EXPECT_EQ(read({"a", "--list", "b", "c"}).words, (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(read({"a", "--", "-b", "--"}).words, (std::vector<std::string>{"a", "-b", "--"}));
  EXPECT_EQ(read({"-5"}).words, (std::vector<std::string>{"-5"}));
  EXPECT_EQ(read({"-n5"}).whole, 5);
  EXPECT_EQ(read({"-n", "-5"}).whole, -5);
  EXPECT_EQ(read({"--natural", "18446744073709551615"}).natural, UINT64_MAX);
  EXPECT_EQ(read({"--real", "-2.5e-1"}).real, -0.25);
  for (const auto& wrong :
       std::vector<std::vector<std::string>>{{"--whole", "010"},
                                             {"--whole", "0x10"},
                                             {"--whole", ""},
                                             {"--whole", "1G"},
                                             {"--whole", "1.0"},
                                             {"--whole", "99999999999999999999"},
                                             {"--natural", "-1"},
                                             {"--natural", " 1"},
                                             {"--real", "nan"},
                                             {"--real", "inf"},
                                             {"--real", "1e999"},
                                             {"--real", "1,5"},
                                             {"--real", ""},
                                             {"--re", "1"},
                                             {"--text"},
                                             {"--text", "--"},
                                             {"--real", "1", "--real", "1"}}) {
    try {
      read(wrong);
      ADD_FAILURE() << "accepted: " << testing::PrintToString(wrong);
    } catch (const Error& e) {
      EXPECT_EQ(e.fault, Fault::usage);
      EXPECT_THAT(e.what(), StartsWith("go: ")) << testing::PrintToString(wrong);
    }
  }
}

// Training takes minutes: a file that cannot be written is found before.
TEST(Fault214, TheTokenizersFolderIsMadeOrRefusedFirst) {
  const TemporaryDirectory room;
  write_text(room / "a.txt", "some words to learn from, some more words to learn from");
  const auto train = [&](const std::string& out) {
    return tern_with({"tokenizer", "train", "--vocab-size", "280", "--out", out, "a.txt"},
                     room.path());
  };
  EXPECT_EQ(train("new/folder/t.model").exit_code, 0);
  EXPECT_TRUE(std::filesystem::exists(room / "new/folder/t.model"));
  const Outcome below_a_file = train("a.txt/t.model");
  EXPECT_EQ(below_a_file.exit_code, 6);
  EXPECT_THAT(below_a_file.err, HasSubstr("a.txt: cannot make this folder: "));
  EXPECT_EQ(train("new").exit_code, 2);
}

// CLI11's own vectors change what was typed.
TEST(Fault119, NoOptionUsesALibraryVector) {
  CLI::App app{"", "tern"};
  add_commands(app, {"tern"});
  const std::function<void(const CLI::App&)> walk = [&](const CLI::App& command) {
    for (const CLI::Option* o : options_of(command))
      EXPECT_FALSE(o->get_allow_extra_args())
          << path_of(command) << ' ' << o->get_name() << ": expected add_list";
    for (const CLI::App* sub : commands_of(command)) walk(*sub);
  };
  walk(app);
}

}  // namespace
}  // namespace tern
