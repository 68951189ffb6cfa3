// What identifies a run and its data, and how a run starts; rows of docs/faults.md.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "data/corpus/corpus.h"
#include "tests/apps/rank_run.h"

namespace tern::test {
namespace {

using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

// The text of tiny_corpus(), prepared again from a file of another name into another folder.
fs::path prepared_again(const TinyRun& tiny) {
  const fs::path text = tiny.room() / "other name.txt", out = tiny.room() / "moved";
  write_text(text, read_text("configs/demo/tinyshakespeare.txt").substr(0, 60'000));
  expect_success({.args = {sibling_program("tern"), "prepare", "--tokenizer",
                           (tiny_corpus() / "tokenizer.model").string(), "--out", out.string(),
                           "--validation", "0.1", text.string()}});
  return out;
}

TEST(Fault101, DataThatHasMovedComesInTheSameOrder) {
  const TinyRun tiny;
  expect_success(tiny.command("whole", {"checkpoint.interval=30"}));
  fs::copy(tiny.directory("whole"), tiny.directory("moved-run"), fs::copy_options::recursive);
  fs::remove_all(tiny.checkpoint("moved-run", 60));
  const fs::path moved = prepared_again(tiny);
  expect_success(tiny.command(
      "moved-run",
      {"checkpoint.interval=30", "data.source.0.path=" + (tiny.room() / "./moved/").string()},
      kResume));
  EXPECT_EQ(losses(tiny.directory("whole")), losses(tiny.directory("moved-run")));
  EXPECT_EQ(tensors(tiny.checkpoint("whole", 60)), tensors(tiny.checkpoint("moved-run", 60)));
  EXPECT_EQ(Corpus::open(moved, Split::train).content_hash(),
            Corpus::open(tiny_corpus(), Split::train).content_hash());
  EXPECT_NE(Corpus::open(moved, Split::validation).content_hash(),
            Corpus::open(moved, Split::train).content_hash());
}

// As a release left them that ordered samples by the path of the data.
TEST(Fault101, ACheckpointOfTheOldOrderIsNotResumed) {
  const TinyRun tiny;
  expect_success(tiny.command("run", {"run.steps=20"}));
  const fs::path manifest = tiny.checkpoint("run", 20) / "manifest.json";
  Manifest m = parse_manifest(read_text(manifest), manifest.string());
  m.state["data_hashes"] = m.state["data_content"];
  m.state.erase("data_content");
  write_text(manifest, to_text(m));
  const Outcome resumed = run(tiny.command("run", {"run.steps=40"}, kResume));
  EXPECT_EQ(resumed.exit_code, 3);
  EXPECT_THAT(resumed.err, HasSubstr("ordered samples by the path"));
  expect_success(tiny.command("branch", {"run.steps=5", "init_from.moments=true",
                                         "init_from.path=" + tiny.checkpoint("run", 20).string()}));
}

// With a large second moment the bias correction differs by much between Adam's step 1 and 61.
void expect_branch_resumes(const TinyRun& tiny, const Strings& more, const Strings& arguments) {
  const Strings branch =
      Strings{"init_from.path=" + tiny.checkpoint("trunk", 60).string(), "init_from.moments=true",
              "optimizer.beta2=0.999", "optimizer.moments=bf16", "checkpoint.keep_last=3"} +
      more;
  expect_success(tiny.command("whole", branch, arguments));
  fs::copy(tiny.directory("whole"), tiny.directory("parts"), fs::copy_options::recursive);
  for (const int step : {40, 60}) fs::remove_all(tiny.checkpoint("parts", step));
  expect_success(tiny.command("parts", branch, arguments + kResume));
  EXPECT_EQ(losses(tiny.directory("whole")), losses(tiny.directory("parts")));
  EXPECT_EQ(tensors(tiny.checkpoint("whole", 60)), tensors(tiny.checkpoint("parts", 60)));
  const Checkpoint last = Checkpoint::open(tiny.checkpoint("parts", 60));
  EXPECT_EQ(last.manifest().state.at("adam_steps"), 120);
}

TEST(Fault302, ABranchWithMomentsResumesToTheSameBits) {
  const TinyRun tiny;
  expect_success(tiny.command("trunk"));
  expect_branch_resumes(tiny, {}, {});
}

TEST(Fault302, SoDoesOneOnSeveralRanks) {
  for (const Strings& more : {Strings{}, kOwners}) {
    const TinyRun tiny;
    expect_success(tiny.command("trunk"));
    expect_branch_resumes(tiny, more, kTwo);
  }
}

Outcome failing(const Command& command, int exit_code, const std::string& saying) {
  const Outcome outcome = run(command);
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr(saying));
  return outcome;
}

std::string from(const fs::path& checkpoint) {
  return "init_from.path=" + checkpoint.string();
}

// tern plan with the configuration and overrides of a command
Command plan_of(Command command) {
  command.args[1] = "plan";
  return command;
}

TEST(Fault304, ARunIsOverwrittenOnlyOnceItsSuccessorWorks) {
  const TinyRun tiny;
  expect_success(tiny.command("run", {"run.steps=20"}));
  const auto old = tensors(tiny.checkpoint("run", 20));
  const std::string metrics = read_text(tiny.directory("run") / "metrics.jsonl");
  const auto fails = [&](const Strings& overrides, const Strings& arguments, int code,
                         const std::string& saying) {
    failing(tiny.command("run", overrides, Strings{"--overwrite"} + arguments), code, saying);
    EXPECT_EQ(tensors(tiny.checkpoint("run", 20)), old);
    EXPECT_EQ(read_text(tiny.directory("run") / "metrics.jsonl"), metrics);
  };
  fails({from(tiny.room() / "typo")}, {}, 3, "typo");
  fails({from(tiny.checkpoint("run", 20)), "model.hidden_size=32"}, {}, 3, "got (320, 16) f32");
  fails({"data.source.0.path=/nowhere"}, {}, 3, "/nowhere");
  fails({}, {"--inject", "x"}, 2, "--inject");
  // after all checks, in the middle of the first step
  EXPECT_EQ(run(tiny.command("run", {}, {"--overwrite", "--inject", "kill:rank=0,step=1"})).signal,
            SIGKILL);
  expect_success(tiny.command("run", {"run.steps=20"}));
  EXPECT_EQ(tensors(tiny.checkpoint("run", 20)), old);

  // from the very run that it replaces, named in each way
  for (const fs::path& path : {tiny.checkpoint("run", 20), tiny.directory("run"),
                               tiny.directory("run") / "checkpoints/latest"}) {
    fs::remove_all(tiny.directory("copy"));
    fs::copy(tiny.directory("run"), tiny.directory("copy"), fs::copy_options::recursive);
    const fs::path inside = tiny.directory("copy") / path.lexically_relative(tiny.directory("run"));
    const Outcome replaced =
        run(tiny.command("copy", {"run.steps=5", from(inside)}, {"--overwrite"}));
    EXPECT_EQ(replaced.exit_code, 0) << replaced.err;
    EXPECT_LT(losses(tiny.directory("copy")).at(1), losses(tiny.directory("run")).at(1) - 0.3);
    EXPECT_FALSE(fs::exists(tiny.directory("copy") / ".replaced"));
    EXPECT_FALSE(fs::exists(tiny.checkpoint("copy", 20)));
  }
}

TEST(Fault208, WhatInitFromMeansIsCheckedBeforeAnythingIsMade) {
  const TinyRun tiny;
  expect_success(tiny.command("trunk", {"run.steps=20"}));
  for (const fs::path& path :
       {tiny.directory("trunk"), tiny.directory("trunk") / "checkpoints/latest",
        tiny.checkpoint("trunk", 20)})
    expect_success(plan_of(tiny.command("branch", {from(path), "init_from.moments=true"})));
  const Strings wider = {from(tiny.directory("trunk")), "model.hidden_size=32"};
  failing(plan_of(tiny.command("branch", wider)), 3,
          "expected (320, 32) of a real type, got (320, 16) f32");
  failing(tiny.command("branch", wider), 3, "got (320, 16) f32");
  const fs::path part = tiny.checkpoint("trunk", 20) / "rank-000-part-00.h5";
  fs::resize_file(part, fs::file_size(part) - 1);
  failing(tiny.command("branch", {from(tiny.directory("trunk"))}), 3, "truncated");
  EXPECT_FALSE(fs::exists(tiny.directory("branch")));
}

TEST(Fault114, WeightsOfAnotherTokenizerAreTakenOnlyWhereAsked) {
  const TinyRun tiny;
  expect_success(tiny.command("trunk", {"run.steps=20"}));
  const std::string text = tiny.room() / "text.txt", model = tiny.room() / "other.model";
  const std::string data = tiny.room() / "other";
  write_text(text, read_text("configs/demo/tinyshakespeare.txt").substr(200'000, 60'000));
  const auto tern = [](Strings args) {
    args.insert(args.begin(), sibling_program("tern"));
    expect_success({.args = args});
  };
  tern({"tokenizer", "train", "--vocab-size", "320", "--out", model, text});
  tern({"prepare", "--tokenizer", model, "--out", data, text});
  const Strings branch = {from(tiny.checkpoint("trunk", 20)), "data.source.0.path=" + data,
                          "run.steps=5"};
  failing(tiny.command("branch", branch), 3, "trained with another tokenizer (hash ");
  EXPECT_FALSE(fs::exists(tiny.directory("branch")));
  expect_success(tiny.command("branch", branch + Strings{"init_from.other_tokenizer=true"}));
}

TEST(Fault115, ARunIsKnownByItsValuesAndNotByTheirSpelling) {
  const TinyRun tiny;
  expect_success(tiny.command("run", {"run.steps=20"}));
  fs::remove_all(tiny.checkpoint("run", 20));
  Command again = tiny.command("run", {"run.steps=20"});
  write_text(tiny.room() / "tiny.toml", "# a comment\n" + read_text(tiny.config()));
  again.args[2] = (tiny.room() / "." / "tiny.toml").string();
  again.args.insert(again.args.end(),
                    {"--set", "optimizer.lr=0.01", "--set",
                     "data.source.0.path=" + (tiny_corpus() / ".").string() + "/", "--set",
                     "logging.interval=2", "--set", "run.time_limit=900"});
  const Outcome same = run(again);
  EXPECT_EQ(same.exit_code, 0) << same.err;
  for (const char* key : {"optimizer.lr=0.02", "run.steps=30", "model.hidden_size=32"}) {
    const Outcome other = failing(tiny.command("run", {"run.steps=20", key}), 2, "--resume auto");
    const std::string name = std::string(key).substr(0, std::string(key).find('='));
    EXPECT_THAT(other.err, HasSubstr("holds a different run: " + name + " was "));
  }
}

// torchrun and srun start each rank by itself: nothing makes them spell the file alike.
TEST(Fault115, RanksMaySpellTheirFileDifferently) {
  const TinyRun tiny;
  const int port = free_port();
  Command second = one_of_two(tiny.command("run", {"run.steps=5"}), 1, port);
  second.args[2] = (tiny.room() / "." / "tiny.toml").string();
  second.args.insert(second.args.end(),
                     {"--set", "data.source.0.path=" + (tiny_corpus() / ".").string()});
  Process other(second);
  const Outcome first = run(one_of_two(tiny.command("run", {"run.steps=5"}), 0, port));
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(other.wait().exit_code, 0);
}

TEST(Fault127, WhatChangesOnResumeIsListedWithOldAndNewValues) {
  const TinyRun tiny;
  const Strings cosine = {"schedule.preset=cosine", "schedule.warmup=0"};
  expect_success(tiny.command("run", cosine + Strings{"run.steps=20"}));
  const Outcome longer = run(tiny.command(
      "run", cosine + Strings{"run.steps=80", "optimizer.beta2=0.9", "logging.interval=5"},
      kResume));
  EXPECT_EQ(longer.exit_code, 0) << longer.err;
  EXPECT_THAT(longer.out, HasSubstr("changed at step 20: run.steps was 20, is 80; "));
  EXPECT_EQ(events(tiny.directory("run"), "changed"), 1);
  const std::string metrics = read_text(tiny.directory("run") / "metrics.jsonl");
  EXPECT_THAT(metrics, HasSubstr("\"changes\":{\"run.steps\":[\"20\",\"80\"],"
                                 "\"optimizer.beta2\":[\"0.95\",\"0.9\"]"));
  EXPECT_TRUE(fs::exists(tiny.directory("run") / "earlier/1-config.resolved.toml"));
  expect_success(tiny.command(
      "run", cosine + Strings{"run.steps=80", "optimizer.beta2=0.9", "logging.interval=5"},
      kResume));
  EXPECT_EQ(events(tiny.directory("run"), "changed"), 1);
}

TEST(Fault127, AJumpOfTheRateIsTold) {
  const TinyRun tiny;
  const Strings cosine = {"schedule.preset=cosine", "schedule.warmup=0", "checkpoint.interval=15"};
  expect_success(tiny.command("run", cosine + Strings{"run.steps=20"}));
  fs::remove_all(tiny.checkpoint("run", 20));
  const Outcome longer = run(tiny.command("run", cosine + Strings{"run.steps=80"}, kResume));
  EXPECT_EQ(longer.exit_code, 0) << longer.err;
  EXPECT_THAT(longer.out, HasSubstr("learning rate of the next step was 2.32e-03, is 9.24e-03"));
}

// As the README says: a ready configuration, and one's own data with one's own tokenizer.
TEST(Fault201, AReadyConfigurationTakesAnyData) {
  const TinyRun tiny;
  const std::string data = "data.source.0.path=" + tiny_corpus().string();
  const auto tern = [&](const Strings& args) {
    return run({.args = Strings{sibling_program("tern")} + args + Strings{"--set", data}});
  };
  for (const char* config : {"books-10m", "books-50m", "books-370m"}) {
    const Outcome plan =
        tern({"plan", std::string("configs/") + config + ".toml", "--set", "batch.micro_batch=1",
              "--set", "batch.tokens=512", "--set", "batch.context=512"});
    EXPECT_EQ(plan.exit_code, 0) << plan.err;
    EXPECT_THAT(plan.out, HasSubstr(fmt::format("  {:<24}{:>20}\n", "vocabulary V", 320)));
  }
  const Outcome without = tern({"plan", "configs/books-10m.toml", "--without-data"});
  EXPECT_EQ(without.exit_code, 0) << without.err;
  EXPECT_THAT(without.err, HasSubstr("planning for 32000"));
  const Outcome named = tern({"plan", "configs/books-10m.toml", "--without-data", "--set",
                              "data.tokenizer=" + (tiny_corpus() / "tokenizer.model").string()});
  EXPECT_EQ(named.exit_code, 0) << named.err;
  EXPECT_THAT(named.out, HasSubstr(fmt::format("  {:<24}{:>20}\n", "vocabulary V", 320)));

  const Strings any = {"model.vocab_size=0", "run.steps=20"};
  expect_success(tiny.command("run", any));
  EXPECT_THAT(Checkpoint::open(tiny.checkpoint("run", 20)).manifest().config.dump(),
              HasSubstr("vocab_size = 320"));
  expect_success(tiny.command("run", {"model.vocab_size=320", "run.steps=20"}));
  expect_success(tiny.command("run", {"model.vocab_size=0", "run.steps=30"}, kResume));
}

TEST(Fault123, TheHomeDirectoryIsPutInPlaceOfATilde) {
  const TinyRun tiny;
  const auto at_home = [&](Command command) {
    command.env["HOME"] = tiny.room().string();
    return command;
  };
  fs::create_directory_symlink(tiny_corpus(), tiny.room() / "data");
  expect_success(at_home(
      tiny.command("run", {"run.directory=~/runs", "data.source.0.path=~/data", "run.steps=5"})));
  EXPECT_TRUE(fs::exists(tiny.room() / "runs/run/metrics.jsonl"));
  const auto tern = [&](const Strings& args) {
    return at_home({.args = Strings{sibling_program("tern")} + args});
  };
  expect_success(tern({"eval", "--checkpoint=~/runs/run", "--data=~/data"}));
  expect_success(tern({"inspect", "~/runs/run"}));
  const std::string text = tiny.room() / "text.txt";
  write_text(text, "To be, or not to be: that is the question.\n");
  expect_success(
      tern({"prepare", "--tokenizer=~/data/tokenizer.model", "--out=~/more", "~/text.txt"}));
  EXPECT_TRUE(fs::exists(tiny.room() / "more/manifest.json"));
  failing(tern({"inspect", "~nobody/run"}), 2, "~nobody/run");
  failing(at_home(tiny.command("other", {"data.source.0.path=~nobody/data"})), 2,
          "data.source.0.path: ~nobody/data: the home directory of another user");
  EXPECT_FALSE(fs::exists("~"));
}

TEST(Fault120OfARun, APathThatCannotBeUsedIsNamed) {
  const TinyRun tiny;
  const std::string longest(300, 'x');
  const auto tern = [&](const Strings& args) {
    return Command{.args = Strings{sibling_program("tern")} + args};
  };
  const auto named = [&](Command command, int code, const std::string& path) {
    const Outcome outcome = failing(command, code, path);
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_THAT(outcome.err, Not(HasSubstr("filesystem error")));
  };
  for (const char* command : {"eval", "ngram"})
    named(tern(Strings{command} +
               (command == std::string("eval") ? Strings{"--checkpoint", "x"} : Strings{}) +
               Strings{"--data", longest}),
          3, longest);
  named(tern({"generate", "--checkpoint", longest}), 3, longest);
  named(tern({"inspect", longest}), 3, longest);
  named(tern({"plot", longest}), 3, longest);
  named(tern({"prepare", "--tokenizer", longest, "--out", "x", longest}), 3, longest);
  named(tiny.command("run", {"data.source.0.path=" + longest}), 3, longest);
  named(tiny.command("run", {"run.directory=" + longest}), 6, longest);
  named(tiny.command("run", {from(longest)}), 3, longest);
  named(tiny.command("run", {}, {"--resume", longest}), 3, longest);

  SKIP_IN_A_FOLDER_CLOSED_TO_OTHERS();
  const fs::path shut = tiny.room() / "shut";
  fs::create_directories(shut);
  const auto unprivileged = [](Command command) {
    command.unprivileged = true;
    return command;
  };
  fs::permissions(shut, fs::perms::none);
  const std::string inside = (shut / "x").string();
  named(unprivileged(tern({"ngram", "--data", inside})), 3, inside);
  named(unprivileged(tern({"inspect", inside})), 3, inside);
  named(unprivileged(tern({"generate", "--checkpoint", inside})), 3, inside);
  named(unprivileged(tiny.command("run", {"run.directory=" + inside})), 6, inside);
  named(unprivileged(tiny.command("run", {"data.source.0.path=" + inside})), 3, inside);
}

}  // namespace
}  // namespace tern::test
