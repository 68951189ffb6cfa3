// What a stopped run keeps, and which checkpoint is its best; rows of docs/faults.md.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/checkpoint/directory.h"
#include "data/checkpoint/manifest.h"
#include "tests/apps/rank_run.h"

namespace tern::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
namespace fs = std::filesystem;

// Validation losses go up and down at this rate.
const Strings kNoisy = {"optimizer.lr=0.3",       "schedule.preset=constant",
                        "checkpoint.interval=10", "logging.validation_interval=10",
                        "checkpoint.keep_last=1", "logging.sample_interval=0"};

std::uint64_t best_step(const fs::path& run, std::uint64_t least, std::uint64_t most) {
  double best = std::numeric_limits<double>::infinity();
  std::uint64_t step = 0;
  for (const std::string& line : reports(run, {"val"})) {
    const auto val = nlohmann::json::parse(line);
    const auto at = val.at("step").get<std::uint64_t>();
    if (at < least || at > most || val.at("loss").get<double>() >= best) continue;
    best = val.at("loss").get<double>();
    step = at;
  }
  return step;
}

std::string note(const TinyRun& tiny, const std::string& name, const char* file) {
  return read_text(tiny.directory(name) / "checkpoints" / file);
}

// what a run at kNoisy must have kept at step `last`
void expect_best_kept(const TinyRun& tiny, const std::string& name, std::uint64_t last) {
  const fs::path run = tiny.directory(name);
  const std::uint64_t best = best_step(run, 10, last);
  EXPECT_EQ(note(tiny, name, "best"), checkpoint_name(best) + "\n");
  std::vector<std::uint64_t> kept = {best, last};
  if (best == last) kept.pop_back();
  EXPECT_EQ(checkpoint_steps(run / "checkpoints"), kept);
}

TEST(Fault109, TheBestLossIsPartOfTheState) {
  const TinyRun tiny;
  expect_success(tiny.command("whole", kNoisy));
  EXPECT_EQ(run(tiny.command("parts", kNoisy, {"--inject", "kill:step=45"})).signal, SIGKILL);
  const Outcome rest = run(tiny.command("parts", kNoisy, kResume));
  EXPECT_EQ(rest.exit_code, 0) << rest.err;
  const auto whole = reports(tiny.directory("whole"), {"val"});
  EXPECT_EQ(reports(tiny.directory("parts"), {"val"}), whole);
  EXPECT_THAT(whole.back() + whole.at(5), HasSubstr("\"best\":false")) << "shows nothing";
  EXPECT_THAT(rest.out,
              HasSubstr(fmt::format("step {}", best_step(tiny.directory("whole"), 0, 60))));

  // one of a release that did not save it
  const fs::path path = tiny.checkpoint("parts", 60) / "manifest.json";
  Manifest manifest = parse_manifest(read_text(path), path.string());
  EXPECT_TRUE(manifest.state.contains("best"));
  manifest.state.erase("best");
  manifest.state.erase("validation_loss");
  write_text(path, to_text(manifest));
  expect_success(tiny.command("parts", kNoisy, kResume));
}

TEST(Fault216, TheBestCheckpointIsKeptAndNamed) {
  const TinyRun tiny;
  expect_success(tiny.command("run", kNoisy));
  expect_best_kept(tiny, "run", 60);
  for (const char* file : {"best", "latest"}) {
    const std::string path = (tiny.directory("run") / "checkpoints" / file).string();
    const Outcome eval = run({.args = {sibling_program("tern"), "eval", "--checkpoint", path,
                                       "--data", tiny_corpus().string()}});
    EXPECT_EQ(eval.exit_code, 0) << eval.err;
    const std::string name = note(tiny, "run", file);
    EXPECT_THAT(eval.out, HasSubstr(name.substr(0, name.size() - 1)));
  }
  const std::string best = (tiny.directory("run") / "checkpoints/best").string();
  expect_success(tiny.command("branch", {"init_from.path=" + best}));

  expect_success(tiny.command("none", kNoisy + Strings{"checkpoint.keep_best=false"}));
  EXPECT_THAT(checkpoint_steps(tiny.directory("none") / "checkpoints"), ElementsAre(60));
  EXPECT_FALSE(fs::exists(tiny.directory("none") / "checkpoints/best"));
}

TEST(Fault216, TheBestIsRightAfterAKillAndAfterGoingBack) {
  const TinyRun tiny;
  for (const Strings& arguments : {Strings{}, kTwo}) {
    const std::string name = arguments.empty() ? "one" : "two";
    const Strings keys = kNoisy + (arguments.empty() ? Strings{} : kOwners);
    expect_success(tiny.command(name, keys + Strings{"checkpoint.keep_last=9"}, arguments));
    // back to before the best, and killed before there is a checkpoint
    const Strings back = {"--resume", tiny.checkpoint(name, 20).string(), "--inject",
                          "kill:step=26"};
    EXPECT_NE(run(tiny.command(name, keys, back + arguments)).exit_code, 0);
    EXPECT_EQ(note(tiny, name, "best"),
              checkpoint_name(best_step(tiny.directory(name), 10, 20)) + "\n");
    expect_success(tiny.command(name, keys, kResume + arguments));
    expect_best_kept(tiny, name, 60);
  }
}

TEST(Fault216, IntervalsThatNeverMeetAreSaid) {
  const TinyRun tiny;
  const char* warning = "checkpoint.keep_best has nothing to choose from";
  const auto said = [&](const Strings& keys) {
    return run(tiny.command("run", keys + Strings{"run.steps=12"}, {"--overwrite"})).out;
  };
  EXPECT_THAT(said({"logging.validation_interval=4", "checkpoint.interval=5"}), HasSubstr(warning));
  EXPECT_THAT(said({"logging.validation_interval=2", "checkpoint.interval=4"}),
              Not(HasSubstr(warning)));
  EXPECT_THAT(said({"logging.validation_interval=0", "checkpoint.interval=4"}),
              Not(HasSubstr(warning)));
}

// a corpus without a validation part, in data/
void prepare_without_validation(const TinyRun& tiny, std::size_t bytes) {
  const fs::path text = tiny.room() / "text.txt";
  write_text(text, read_text("configs/demo/tinyshakespeare.txt").substr(0, bytes));
  const Outcome prepared = run({.args = {sibling_program("tern"), "prepare", "--tokenizer",
                                         (tiny_corpus() / "tokenizer.model").string(), "--out",
                                         (tiny.room() / "data").string(), text.string()}});
  ASSERT_EQ(prepared.exit_code, 0) << prepared.err;
}

TEST(Fault209, ValidationWithoutAValidationPartIsSaid) {
  const TinyRun tiny;
  prepare_without_validation(tiny, 20'000);
  const Strings here = {"data.source.0.path=" + (tiny.room() / "data").string(), "run.steps=4"};
  const Outcome outcome = run(tiny.command("run", here));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("logging.validation_interval is 30, but no source has"),
                                 HasSubstr("--validation")));
  const Strings off = here + Strings{"logging.validation_interval=0"};
  EXPECT_THAT(run(tiny.command("off", off)).out, Not(HasSubstr("no source has")));
}

TEST(Fault117, AFileOfSamplesHoldsAllOfThem) {
  const TinyRun tiny;
  expect_success(tiny.command(
      "run", {"run.steps=4", "logging.sample_prompts=[\"ROMEO:\", \"JULIET:\", \"KING:\"]"}));
  EXPECT_THAT(read_text(tiny.directory("run") / "samples/step-00000004.txt"),
              AllOf(HasSubstr("ROMEO:"), HasSubstr("\nJULIET:"), HasSubstr("\nKING:")));
}

// A constant rate, so that a longer run takes the same steps; the first 16th batch is bad.
const Strings kBad = {"schedule.preset=constant", "checkpoint.interval=8",
                      "logging.validation_interval=0", "logging.sample_interval=0", "run.steps=24"};

TEST(Fault314, StoppedOnASkippedStepARunSavesAndGoesOnToTheSameBits) {
  const TinyRun tiny;
  for (const Strings& arguments : {Strings{}, kTwo}) {
    const std::string ranks = arguments.empty() ? "1" : "2";
    const Strings keys = kBad + (arguments.empty() ? Strings{} : kOwners);
    expect_success(
        tiny.command("whole" + ranks, keys, arguments + Strings{"--inject", "nan:step=13"}));
    const Outcome stopped = run(tiny.command(
        "parts" + ranks, keys, arguments + Strings{"--inject", "nan:step=13,signal=15"}));
    EXPECT_EQ(stopped.exit_code, 75) << stopped.err;
    EXPECT_THAT(stopped.err, HasSubstr("after step 13"));
    EXPECT_TRUE(fs::exists(tiny.checkpoint("parts" + ranks, 13)));
    EXPECT_THAT(checkpoint_steps(tiny.directory("parts" + ranks) / "checkpoints"),
                ElementsAre(8, 13));
    expect_success(tiny.command("parts" + ranks, keys, arguments));
    EXPECT_EQ(tensors(tiny.checkpoint("whole" + ranks, 24)),
              tensors(tiny.checkpoint("parts" + ranks, 24)));
  }
}

TEST(Fault314, TheNextBadStepAfterAResumeGoesBackBeyondTheFirst) {
  const TinyRun tiny;
  const Strings keys =
      kBad + Strings{"numerics.max_skipped=2", "numerics.max_rewinds=1", "checkpoint.keep_last=1"};
  EXPECT_EQ(run(tiny.command("run", keys, {"--inject", "nan:step=13,signal=15"})).exit_code, 75);
  const Outcome again = run(tiny.command("run", keys, {"--inject", "nan:step=14"}));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.out, AllOf(HasSubstr("rewind at step 14: back to step 8"),
                               HasSubstr("step-00000013.superseded")));
  EXPECT_EQ(events(tiny.directory("run"), "skip"), 3);
}

TEST(Fault314, ASaveThatIsDueOnASkippedStepFollowsAndIsSaid) {
  const TinyRun tiny;
  for (const char* at : {"nan:step=16", "nan:step=15,signal=12"}) {
    const Outcome outcome = run(tiny.command("run", kBad, {"--overwrite", "--inject", at}));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    const bool due = at == std::string("nan:step=16");
    EXPECT_EQ(events(tiny.directory("run"), "save_postponed"), int(due));
    EXPECT_THAT(outcome.out, HasSubstr(due ? "checkpoint step 17" : "checkpoint step 16"));
  }
  EXPECT_THAT(run(tiny.command("run", kBad, {"--overwrite", "--inject", "nan:step=16"})).out,
              AllOf(HasSubstr("skip at step 16: loss nan"), Not(HasSubstr("finish at step"))));
}

TEST(Fault314, ARunWhoseLastStepIsSkippedIsSaved) {
  const TinyRun tiny;
  expect_success(tiny.command("run", kBad, {"--inject", "nan:step=24"}));
  expect_good_checkpoint(tiny.directory("run"));
  EXPECT_TRUE(fs::exists(tiny.checkpoint("run", 24)));
}

// A validation that takes seconds; it comes before the first step.
class Fault110 : public testing::Test {
 protected:
  void SetUp() override { prepare_without_validation(tiny_, 200'000); }
  Command command(const Strings& keys, const Strings& arguments = {}) const {
    return tiny_.command(
        "run",
        Strings{"data.source.0.validation=" + (tiny_.room() / "data").string(),
                "model.hidden_size=192", "model.intermediate_size=512", "model.num_hidden_layers=3",
                "batch.micro_batch=1", "logging.validation_tokens=1000000", "run.steps=9"} +
            keys,
        arguments);
  }
  void expect_no_validation(const Outcome& outcome) const {
    EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("after step 0 of 9"));
    EXPECT_THAT(reports(tiny_.directory("run"), {"val"}), IsEmpty());
    EXPECT_EQ(events(tiny_.directory("run"), "validation_stopped"), 1);
    expect_good_checkpoint(tiny_.directory("run"));
  }
  TinyRun tiny_;
};

TEST_F(Fault110, ASignalDuringValidationIsServedAtOnce) {
  Process process(command({}));
  ASSERT_TRUE(process.wait_for("starting with new weights"));
  process.send(SIGTERM);
  expect_no_validation(process.wait());
  // gone on with, the run does not begin with the same validation again
  const Outcome again = run(command({"run.time_limit=1"}, kResume));
  EXPECT_THAT(again.err, Not(HasSubstr("after step 0")));
  EXPECT_TRUE(losses(tiny_.directory("run")).contains(1)) << again.err;
}

TEST_F(Fault110, RanksBreakAValidationOffTogether) {
  Process process(command({}, kTwo));
  ASSERT_TRUE(process.wait_for("starting with new weights"));
  kill(children(process.id()).at(1), SIGUSR1);
  expect_no_validation(process.wait());
}

TEST_F(Fault110, TheTimeLimitEndsAValidation) {
  expect_no_validation(run(command({"run.time_limit=1"})));
}

TEST(Fault110OfSamples, ASignalIsServedBetweenThem) {
  const TinyRun tiny;
  std::string prompts = "logging.sample_prompts=[\"A\"";
  for (int i = 0; i < 400; ++i) prompts += ", \"B\"";
  Process process(tiny.command("run", {"run.steps=9", "logging.sample_interval=2",
                                       "logging.sample_tokens=200", prompts + "]"}));
  ASSERT_TRUE(process.wait_for("sample at step 2"));
  process.send(SIGTERM);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("after step 2 of 9"));
  EXPECT_LT(reports(tiny.directory("run"), {"sample"}).size(), 401u);
}

}  // namespace
}  // namespace tern::test
