// What a run says about itself: times, rates, means, and commands to go on with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/config/load.h"
#include "apps/console/terminal.h"
#include "apps/train/train.h"
#include "tests/apps/tiny_run.h"

namespace tern::test {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

// a key of the train lines of metrics.jsonl, by step; without those that do not have it
std::map<int, double> numbers(const fs::path& run, const char* key) {
  std::map<int, double> out;
  std::ifstream in(run / "metrics.jsonl");
  for (std::string text; std::getline(in, text);) {
    const auto line = nlohmann::json::parse(text);
    if (line["t"] == "train" && line.contains(key) && line[key].is_number())
      out[line["step"].get<int>()] = line[key].get<double>();
  }
  return out;
}

// With the next step launched before the last is judged, as on a GPU.
void train_ahead(const TinyRun& tiny, const std::string& name, const std::string& inject) {
  const auto body = [&] {
    omp_set_num_threads(1);  // a parent's threads are not there
    const WithoutPictures here;
    train({.config_file = tiny.config(),
           .overrides = {"run.name=" + name, "run.steps=12", "logging.validation_interval=0",
                         "logging.sample_interval=0"},
           .inject = inject,
           .runs_ahead = true});
    return 0;
  };
  const Outcome outcome = run({.body = body});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST(Report, AStepTakesWhatLiesBetweenItsBeginAndItsEnd) {
  const TinyRun tiny;
  train_ahead(tiny, "slow", "sleep:step=7,seconds=0.6");
  const auto step_ms = numbers(tiny.directory("slow"), "step_ms");
  EXPECT_GE(step_ms.at(7), 600);
  EXPECT_LT(step_ms.at(6), 600) << "judged while step 7 was on its way";
  EXPECT_LT(step_ms.at(8), 600);
}

TEST(Report, TheFirstStepIsNoPartOfTheRate) {
  const TinyRun tiny;
  train_ahead(tiny, "start", "sleep:step=1,seconds=1");
  const auto rate = numbers(tiny.directory("start"), "tok_s");
  EXPECT_FALSE(rate.contains(1));
  EXPECT_GT(rate.at(2), 64 / 0.5);  // 64 tokens a step
  const auto share = numbers(tiny.directory("start"), "share_of_peak");
  EXPECT_FALSE(share.contains(1));
  EXPECT_LT(share.at(12), 1);
}

// The rate is of all ranks together, so the peak must be of all of them.
TEST(Report, TheShareOfPeakOfRanksIsOfAllTheirPeaks) {
  const TinyRun tiny;
  const fs::path link = tiny.room() / "tern";
  fs::create_symlink(sibling_program("tern"), link);
  Command command = tiny.command("two", {"run.steps=6"}, {"--ranks", "2"});
  command.args[0] = link.string();
  const Outcome outcome = run(command);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("cubed, on each rank"),
                                 HasSubstr("try next     " + link.string() + " generate")));
  std::istringstream words(outcome.out.substr(outcome.out.find("measured peak") + 13));
  double peak = 0;
  std::string prefix;
  words >> peak >> prefix;
  peak *= prefix[0] == 'T' ? 1e12 : prefix[0] == 'G' ? 1e9 : 1e6;
  const double flops = double(gemm_flop_per_token(load_config(tiny.config()).config.model));
  EXPECT_NEAR(numbers(tiny.directory("two"), "share_of_peak").at(6),
              numbers(tiny.directory("two"), "tok_s").at(6) * flops / (2 * peak), 1e-3);
}

TEST(Fault215, TheMeanOfTheLossGoesOnAfterAResumeAndSkipsSkippedSteps) {
  const TinyRun tiny;
  const std::vector<std::string> steps = {"run.steps=50"};
  ASSERT_EQ(run(tiny.command("whole", steps)).exit_code, 0);
  EXPECT_EQ(run(tiny.command("killed", steps, {"--inject", "kill:step=45"})).signal, SIGKILL);
  ASSERT_EQ(run(tiny.command("killed", steps)).exit_code, 0);
  const auto whole = numbers(tiny.directory("whole"), "loss_mean");
  EXPECT_EQ(whole, numbers(tiny.directory("killed"), "loss_mean"));
  EXPECT_EQ(whole.size(), 50u);
  EXPECT_NEAR(whole.at(1), losses(tiny.directory("whole")).at(1), 1e-3);

  ASSERT_EQ(run(tiny.command("skipped", steps, {"--inject", "nan:step=10"})).exit_code, 0);
  const auto mean = numbers(tiny.directory("skipped"), "loss_mean");
  EXPECT_EQ(mean.size(), 50u);
  EXPECT_EQ(mean.at(10), mean.at(9));
  EXPECT_FALSE(numbers(tiny.directory("skipped"), "loss").contains(10));
}

// The commands that a summary offers.
std::vector<std::string> offered(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  bool there = false;
  for (std::string line; std::getline(in, line);) {
    there = there || line.find("try next") != line.npos;
    if (there && line.find("tern") != line.npos)
      out.push_back(line.substr(line.find_first_of("/'")));
  }
  return out;
}

Outcome pasted(const std::string& command) {
  return run({.args = {"bash", "-c", command}, .env = {{"OMP_NUM_THREADS", "1"}}});
}

TEST(Fault212, WhatASummaryOffersCanBePasted) {
  const TinyRun tiny;
  const fs::path odd = tiny.room() / "it's a room";
  fs::create_directory(odd);
  fs::create_symlink(sibling_program("tern"), odd / "tern");
  Command command = tiny.command("a-b", {"run.steps=4", "run.directory=" + odd.string(),
                                         "logging.sample_prompts=[\"ROMEO:\\n\"]"});
  command.args[0] = (odd / "tern").string();
  const Outcome trained = run(command);
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const std::vector<std::string> commands = offered(trained.out);
  ASSERT_EQ(commands.size(), 3u) << trained.out;
  EXPECT_THAT(commands[0], HasSubstr("$'ROMEO:\\n'"));
  for (const std::string& c : commands) {
    EXPECT_THAT(c, HasSubstr("room/tern'")) << "the program as it was called";
    if (c.find(" plot ") != c.npos) continue;  // needs gnuplot
    const Outcome outcome = pasted(c);
    EXPECT_EQ(outcome.exit_code, 0) << c << '\n' << outcome.err;
  }
  EXPECT_TRUE(pasted(commands[0]).out.starts_with("ROMEO:\n"));
}

TEST(Fault212, AStoppedRunSaysTheCommandThatResumesIt) {
  const TinyRun tiny;
  Process process(tiny.command("stopped", {"run.steps=100000"}, {"--overwrite"}));
  ASSERT_TRUE(process.wait_for(" 20/100000"));
  process.send(SIGTERM);
  const Outcome outcome = process.wait();
  ASSERT_EQ(outcome.exit_code, 75) << outcome.err;
  const std::string before = "to resume, run: ";
  const std::size_t at = outcome.err.find(before);
  ASSERT_NE(at, std::string::npos) << outcome.err;
  std::string resume = outcome.err.substr(at + before.size());
  resume.erase(resume.find('\n'));
  EXPECT_THAT(resume, Not(HasSubstr("--overwrite"))) << "it would delete the run";
  const Outcome again = pasted("timeout -s TERM 20 " + resume + " --inject kill:step=30");
  EXPECT_THAT(again.out, HasSubstr("resuming from"));
  ASSERT_EQ(run(tiny.command("short", {"run.steps=20"})).exit_code, 0);
  EXPECT_THAT(run(tiny.command("short", {"run.steps=30"}, {"--resume", "auto"})).out,
              ContainsRegex("time +[^ ]+ +from step 20 on, [0-9.]+% of it in steps"));
}

TEST(Fault212, ShellWordsAreReadBackByAShell) {
  const std::vector<std::string> words = {
      "plain",           "",       "a b",        "it's",     "$HOME `id` \"x\" \\n !",
      "line\nline\tend", "*?[a]~", "\x1b[2J\\'", "\xff\xfe", "\u00e4 \u0416",
      "-x=1,y:2"};
  const Outcome outcome = pasted("printf '%s\\0' " + shell_command(words));
  std::string expected;
  for (const std::string& w : words) expected += w + '\0';
  EXPECT_EQ(outcome.out, expected);
  EXPECT_EQ(shell_word("runs/demo/checkpoints/step-00000300"),
            "runs/demo/checkpoints/step-00000300");
  EXPECT_EQ(shell_word("ROMEO:\n"), "$'ROMEO:\\n'");
  for (const std::string& w : words) EXPECT_EQ(printable(shell_word(w)), shell_word(w)) << w;
}

// A CPU computes while it is told to: launching is no part of a step there.
TEST(Fault217, ACpusBenchmarkHasNoTimeToLaunch) {
  const Outcome o =
      run({.args = {sibling_program("tern"), "bench", "train", "--width", "16", "--layers", "1",
                    "--vocab", "32", "--batch", "1", "--context", "8", "--steps", "1"},
           .env = {{"OMP_NUM_THREADS", "1"}}});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out,
              AllOf(ContainsRegex(" tokens/s, +[0-9.]+ ms a step\n"), Not(HasSubstr("to launch"))));
}

TEST(Fault217, ARunThatHasNothingToTrainSaysSo) {
  const TinyRun tiny;
  const std::vector<std::string> steps = {"run.steps=20"};
  const Outcome first = run(tiny.command("done", steps));
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.out, AllOf(ContainsRegex("measured peak +[0-9.]+ [MGT]FLOP/s"),
                               HasSubstr(" of it in steps"), ContainsRegex("speed .* tok/s")));
  const Outcome again = run(tiny.command("done", steps));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.out, AllOf(HasSubstr("nothing to train: 20 of 20 steps were done before"),
                               Not(HasSubstr("?")), Not(HasSubstr("in steps"))));
}

}  // namespace
}  // namespace tern::test
