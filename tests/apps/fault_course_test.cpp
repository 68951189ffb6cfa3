// Which checkpoints a run goes on from after it went back to an earlier one, and when none is left;
// rows of docs/faults.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/checkpoint/directory.h"
#include "tests/apps/rank_run.h"

namespace tern::test {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Not;
namespace fs = std::filesystem;

// a checkpoint every 10 steps, all kept; quick
const Strings kMany = {"checkpoint.interval=10", "checkpoint.keep_last=9", "run.steps=40",
                       "logging.sample_interval=10", "logging.validation_interval=0"};
const Strings kColder = {"optimizer.lr=2e-3"};
const Strings kKilled = {"--inject", "kill:step=16"};

Strings from(const fs::path& checkpoint) {
  return {"--resume", checkpoint.string()};
}

std::vector<std::uint64_t> steps_of(const TinyRun& tiny, const std::string& name) {
  return checkpoint_steps(tiny.directory(name) / "checkpoints");
}

std::vector<std::string> aside(const TinyRun& tiny, const std::string& name) {
  return set_aside(tiny.directory(name) / "checkpoints");
}

std::vector<int> recorded_steps(const fs::path& run) {
  std::vector<int> steps;
  std::ifstream in(run / "metrics.jsonl");
  for (std::string line; std::getline(in, line);)
    steps.push_back(nlohmann::json::parse(line).at("step").get<int>());
  return steps;
}

std::string latest(const TinyRun& tiny, const std::string& name) {
  return read_text(tiny.directory(name) / "checkpoints" / "latest");
}

// goes back from step 40 to step 10 at another rate, and is killed at step 16
void go_back_and_die(const TinyRun& tiny, const std::string& name, const Strings& more = {},
                     const Strings& arguments = {}) {
  expect_success(tiny.command(name, kMany + more, arguments));
  const Outcome back = run(tiny.command(name, kMany + kColder + more,
                                        from(tiny.checkpoint(name, 10)) + kKilled + arguments));
  ASSERT_NE(back.exit_code, 0);
  EXPECT_THAT(back.out, HasSubstr("step-00000020.superseded, step-00000030.superseded, "
                                  "step-00000040.superseded"));
}

TEST(Fault102, AnAbandonedCourseNeverComesBack) {
  const TinyRun tiny;
  go_back_and_die(tiny, "run");
  EXPECT_THAT(steps_of(tiny, "run"), ElementsAre(10));
  EXPECT_EQ(latest(tiny, "run"), "step-00000010\n");
  EXPECT_EQ(events(tiny.directory("run"), "superseded"), 1);
  EXPECT_THAT(recorded_steps(tiny.directory("run")), Each(Le(15)));
  EXPECT_FALSE(fs::exists(tiny.directory("run") / "samples/step-00000020.txt"));
  const Outcome text =
      run({.args = {sibling_program("tern"), "eval", "--checkpoint", tiny.directory("run").string(),
                    "--data", tiny_corpus().string()}});
  EXPECT_THAT(text.out, HasSubstr("step-00000010"));

  expect_success(tiny.command("run", kMany + kColder, kResume));
  expect_success(
      tiny.command("unbroken", kMany + kColder, from(fs::path(tiny.checkpoint("run", 10)))));
  EXPECT_EQ(tensors(tiny.checkpoint("run", 40)), tensors(tiny.checkpoint("unbroken", 40)));
  EXPECT_THAT(aside(tiny, "run"), testing::SizeIs(3));

  expect_success(tiny.command("run", kMany, from(tiny.checkpoint("run", 30))));
  EXPECT_THAT(aside(tiny, "run"), testing::Contains("step-00000040.superseded-2"));
  const Outcome shown =
      run({.args = {sibling_program("tern"), "inspect", tiny.directory("run").string()}});
  EXPECT_THAT(shown.out, HasSubstr("step-00000040.superseded-2  set aside"));
}

TEST(Fault102, ARunThatBeganElsewhereNeverTakesWhatWasThereBefore) {
  const TinyRun tiny;
  expect_success(tiny.command("other", kMany));
  expect_success(tiny.command("run", kMany + kColder));
  const Strings start = from(tiny.checkpoint("other", 20));
  const Outcome killed =
      run(tiny.command("run", kMany, start + Strings{"--inject", "kill:step=26"}));
  EXPECT_EQ(killed.signal, SIGKILL);
  EXPECT_THAT(steps_of(tiny, "run"), IsEmpty());
  EXPECT_THAT(aside(tiny, "run"), testing::SizeIs(4));
  EXPECT_FALSE(fs::exists(tiny.directory("run") / "checkpoints/latest"));
  EXPECT_THAT(recorded_steps(tiny.directory("run")), Each(testing::Ge(20)));
  const Outcome again = run(tiny.command("run", kMany, kResume));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("(step 20)"));
  EXPECT_EQ(tensors(tiny.checkpoint("run", 40)), tensors(tiny.checkpoint("other", 40)));

  // what was set aside is no part of a course, and can be gone back to
  fs::path abandoned = tiny.checkpoint("run", 10);
  abandoned += ".superseded";
  expect_success(tiny.command("run", kMany + kColder, from(abandoned)));
  EXPECT_THAT(steps_of(tiny, "run"), ElementsAre(20, 30, 40));
  EXPECT_THAT(aside(tiny, "run"), testing::Contains("step-00000040.superseded-2"));
}

TEST(Fault102, RanksThatOwnPartsLeaveAnAbandonedCourseToo) {
  const TinyRun tiny;
  go_back_and_die(tiny, "run", kOwners, kTwo);
  EXPECT_THAT(steps_of(tiny, "run"), ElementsAre(10));
  const Outcome again = run(tiny.command("run", kMany + kColder + kOwners, kTwo + kResume));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("(step 10)"));
  EXPECT_THAT(steps_of(tiny, "run"), ElementsAre(10, 20, 30, 40));
}

TEST(Fault102, ARewindNeverGoesForward) {
  const TinyRun tiny;
  expect_success(tiny.command("run", kMany));
  const fs::path checkpoints = tiny.directory("run") / "checkpoints";
  EXPECT_EQ(newest_good(checkpoints, 25).path, tiny.checkpoint("run", 20));
  EXPECT_EQ(newest_good(checkpoints, 9).path, std::nullopt);
  // at step 16 for ever, before the course has a checkpoint of its own
  const Outcome rewound =
      run(tiny.command("other", kMany + Strings{"numerics.max_skipped=1", "numerics.max_rewinds=1"},
                       from(tiny.checkpoint("run", 10)) + Strings{"--inject", "nan:step=16"}));
  EXPECT_EQ(rewound.exit_code, 4) << rewound.err;
  EXPECT_THAT(rewound.out, HasSubstr("rewind at step 16: back to step 10"));
}

// Killed between any two of the steps that set aside, a directory holds one course.
TEST(Fault102, WhatIsLeftOfHalfASettingAsideIsOneCourse) {
  const TinyRun tiny;
  expect_success(tiny.command("run", kMany));
  const auto whole = tensors(tiny.checkpoint("run", 40));
  fs::path gone = tiny.checkpoint("run", 40);
  gone += ".superseded";
  fs::rename(tiny.checkpoint("run", 40), gone);  // the newest goes first
  expect_success(tiny.command("run", kMany, kResume));
  EXPECT_EQ(tensors(tiny.checkpoint("run", 40)), whole);
  EXPECT_THAT(recorded_steps(tiny.directory("run")), Each(Le(40)));
  EXPECT_EQ(losses(tiny.directory("run")).size(), 40u);
}

TEST(Fault102, ACheckpointUnderTheNameOfAnotherStepIsRefused) {
  const TinyRun tiny;
  expect_success(tiny.command("run", kMany));
  fs::rename(tiny.checkpoint("run", 20), tiny.checkpoint("run", 99));
  const Outcome asked = run(tiny.command("run", kMany, from(tiny.checkpoint("run", 99))));
  EXPECT_EQ(asked.exit_code, 3);
  EXPECT_THAT(asked.err, HasSubstr("expected the name step-00000020"));
  const Outcome automatic = run(tiny.command("run", kMany, kResume));
  EXPECT_EQ(automatic.exit_code, 0) << automatic.err;
  EXPECT_THAT(automatic.out, AllOf(HasSubstr("it holds step 20"), HasSubstr("(step 40)")));
}

// Each makes every checkpoint of a run unusable.
class Fault103 : public testing::Test {
 protected:
  void SetUp() override {
    expect_success(tiny_.command("run", kMany));
    before_ = read_text(tiny_.directory("run") / "metrics.jsonl");
  }
  void expect_refused(const std::string& why, bool unprivileged = false) {
    for (const Strings& arguments : {kResume, Strings{}}) {
      Command command = tiny_.command("run", kMany, arguments);
      command.unprivileged = unprivileged;
      const Outcome outcome = run(command);
      EXPECT_EQ(outcome.exit_code, 3) << outcome.out << outcome.err;
      EXPECT_THAT(outcome.err, AllOf(HasSubstr(why), HasSubstr("--overwrite")));
      EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    }
    EXPECT_EQ(read_text(tiny_.directory("run") / "metrics.jsonl"), before_);
  }
  fs::path checkpoints() const { return tiny_.directory("run") / "checkpoints"; }
  TinyRun tiny_;
  std::string before_;
};

TEST_F(Fault103, AllDamagedIsNoReasonToStartAnew) {
  for (const std::uint64_t step : checkpoint_steps(checkpoints()))
    write_text(checkpoints() / checkpoint_name(step) / "manifest.json", "{");
  expect_refused("manifest.json");
  expect_success(tiny_.command("run", kMany, {"--overwrite"}));
}

TEST_F(Fault103, LinksAreNamed) {
  for (const std::uint64_t step : checkpoint_steps(checkpoints())) {
    const fs::path path = checkpoints() / checkpoint_name(step);
    fs::rename(path, tiny_.room() / path.filename());
    fs::create_directory_symlink(tiny_.room() / path.filename(), path);
  }
  expect_refused("a symbolic link");
  // asked for by its path, one is as good as its target
  const Outcome asked = run(tiny_.command("run", kMany, from(checkpoints() / checkpoint_name(20))));
  EXPECT_EQ(asked.exit_code, 0) << asked.err;
  EXPECT_THAT(asked.out, HasSubstr("(step 20)"));
}

TEST_F(Fault103, UnreadableIsNoReasonToStartAnew) {
  SKIP_IN_A_FOLDER_CLOSED_TO_OTHERS();
  for (const auto& entry : fs::recursive_directory_iterator(tiny_.directory("run")))
    fs::permissions(entry.path(), fs::perms::all);
  fs::permissions(tiny_.directory("run"), fs::perms::all);
  for (const std::uint64_t step : checkpoint_steps(checkpoints()))
    fs::permissions(checkpoints() / checkpoint_name(step), fs::perms::none);
  expect_refused("Permission denied", true);
}

TEST_F(Fault103, ADirectoryThatCannotBeListedIsNoEmptyOne) {
  SKIP_IN_A_FOLDER_CLOSED_TO_OTHERS();
  for (const auto& entry : fs::recursive_directory_iterator(tiny_.directory("run")))
    fs::permissions(entry.path(), fs::perms::all);
  fs::permissions(tiny_.directory("run"), fs::perms::all);
  fs::permissions(checkpoints(), fs::perms(0333));
  Command command = tiny_.command("run", kMany, kResume);
  command.unprivileged = true;
  const Outcome outcome = run(command);
  EXPECT_EQ(outcome.exit_code, 3) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("checkpoints: cannot be read: Permission denied"));
  EXPECT_EQ(read_text(tiny_.directory("run") / "metrics.jsonl"), before_);
}

TEST_F(Fault103, OnlyAbandonedOnesAreNamed) {
  set_aside_after(checkpoints(), std::nullopt);
  expect_refused("step-00000040.superseded belongs to an abandoned course");
}

TEST(Fault103OfANewRun, WithoutAnyCheckpointARunStartsAgain) {
  const TinyRun tiny;
  EXPECT_EQ(run(tiny.command("run", kMany, {"--inject", "kill:step=7"})).signal, SIGKILL);
  expect_success(tiny.command("run", kMany, kResume));
  const std::vector<int> steps = recorded_steps(tiny.directory("run"));
  EXPECT_EQ(std::count(steps.begin(), steps.end(), 3), 1) << "steps of both starts are recorded";
}

}  // namespace
}  // namespace tern::test
