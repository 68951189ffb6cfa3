// Families of runs: the file, the shared trunk, and what is left after kills, stops and failures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "apps/run/run_table.h"
#include "apps/sweep/sweep_file.h"
#include "core/check.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using test::TinyRun;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// A file whose runs start from the tiny configuration.
std::string file_of(const TinyRun& tiny, const std::string& rest) {
  return "[sweep]\nconfig = \"" + tiny.config() + "\"\ndirectory = \"" +
         (tiny.room() / "family").string() + "\"\n" + rest;
}

std::vector<std::string> names_of(const Sweep& sweep) {
  std::vector<std::string> names;
  for (const SweepRun& run : sweep.runs) names.push_back(run.name);
  return names;
}

TEST(SweepFile, EveryRunOfTheListWithEveryCombinationOfTheGrid) {
  const TinyRun tiny;
  const Sweep sweep = parse_sweep(file_of(tiny, R"(
[set]
run.seed = 7
"logging.sample_prompts" = ["a", "b"]
[grid]
optimizer.lr = [1e-3, 2e-3]
[grid.model]
quantize = ["ternary", "none"]
[[run]]
name = "narrow"
[[run]]
model.num_hidden_layers = 1
model.hidden_size = 24
)"),
                                  "family.toml");
  EXPECT_THAT(names_of(sweep),
              ElementsAre("narrow_lr-0.001_quantize-ternary", "narrow_lr-0.001_quantize-none",
                          "narrow_lr-0.002_quantize-ternary", "narrow_lr-0.002_quantize-none",
                          "num_hidden_layers-1_hidden_size-24_lr-0.001_quantize-ternary",
                          "num_hidden_layers-1_hidden_size-24_lr-0.001_quantize-none",
                          "num_hidden_layers-1_hidden_size-24_lr-0.002_quantize-ternary",
                          "num_hidden_layers-1_hidden_size-24_lr-0.002_quantize-none"));
  const RunConfig& last = sweep.runs[7].config;
  EXPECT_EQ(last.run.seed, 7);
  EXPECT_EQ(last.logging.sample_prompts.size(), 2u);
  EXPECT_EQ(last.model.width, 24);
  EXPECT_EQ(last.model.layers, 1);
  EXPECT_EQ(last.optimizer.lr, 2e-3);
  EXPECT_EQ(last.model.quantize, Quantize::none);
  EXPECT_EQ(last.run.directory, (tiny.room() / "family").string());
  EXPECT_EQ(sweep.runs[0].config.model.quantize, Quantize::ternary);
}

TEST(SweepFile, AFileWithoutListAndGridIsOneRun) {
  const TinyRun tiny;
  const Sweep sweep =
      parse_sweep("[sweep]\nconfig = \"" + tiny.config() + "\"\n", "some/where/one.toml");
  EXPECT_THAT(names_of(sweep), ElementsAre("one"));
  EXPECT_EQ(sweep.directory, "runs/one");
}

TEST(SweepFile, TheExampleIsEightRunsOnFourTrunks) {
  const Sweep sweep = load_sweep("configs/sweeps/rates.toml");
  EXPECT_EQ(sweep.runs.size(), 8u);
  EXPECT_EQ(std::ranges::count_if(trunk_links(sweep), [](const auto& l) { return l.has_value(); }),
            4);
}

TEST(SweepFile, TheLadderAndItsRates) {
  const Sweep rates = load_sweep("configs/sweeps/ladder-rates.toml");
  ASSERT_EQ(rates.runs.size(), 48u);
  EXPECT_EQ(rates.runs[0].name, "2M_type-matmulfree_quantize-ternary_lr-0.0005");
  const Sweep ladder = load_sweep("configs/sweeps/ladder.toml");
  ASSERT_EQ(ladder.runs.size(), 93u);
  EXPECT_EQ(ladder.runs[0].name, "matmulfree-ternary-60M_tokens-15M");
  const auto links = trunk_links(ladder);
  EXPECT_EQ(std::ranges::count_if(links, [](const auto& l) { return l.has_value(); }), 62);
}

TEST(SweepFile, MistakesAreSaidWithTheirPlace) {
  const TinyRun tiny;
  const auto complaint_of = [&](const std::string& rest) {
    return complaint([&] { parse_sweep(file_of(tiny, rest), "s.toml"); });
  };
  const struct {
    const char *text, *complaint;
  } mistakes[] = {
      {"[gird]\na.b = [1]\n",
       "s.toml:4:1: [gird]: expected [sweep], [set], [grid] or [[run]]; did you mean grid?"},
      {"shared_trunk = true\n",
       "s.toml:4:16: sweep.shared_trunk: not known; did you mean sweep.share_trunk?"},
      {"share_trunk = 1\n", "sweep.share_trunk: expected true or false, got 1"},
      {"[grid]\noptimizer.lr = 1e-3\n", "grid.optimizer.lr: expected a list of values, got"},
      {"[grid]\noptimizer.lr = []\n",
       "grid.optimizer.lr: expected a list of values, got an empty one"},
      {"[grid]\nlr = [1]\n", "lr: expected a key of a run's configuration with its table"},
      {"[set]\nrun.name = \"a\"\n", "run.name: the sweep sets it"},
      {"[run]\nname = \"a\"\n", "run: expected [[run]], got [run]"},
      {"[[run]]\nname = 3\n", "run.name: expected a name, got 3"},
      {"[[run]]\nname = \"a\"\n[[run]]\nname = \"a\"\n", "runs 1 and 2 are both called a"},
      {"[grid]\noptimizer.lrr = [1e-3]\n", "optimizer.lrr"},
      {"[grid]\noptimizer.lr = [1e-3, -1]\n", "run lr--1: --set optimizer.lr"},
      {"[set]\nmodel.attention = \"ternary\"\n", "model.attention"},
      {"[grid]\nrun.seed = [1, 2\n", "s.toml:"},
  };
  for (const auto& [text, want] : mistakes)
    EXPECT_THAT(complaint_of(text), HasSubstr(want)) << text;
  EXPECT_THAT(complaint([] { parse_sweep("[grid]\na.b = [1]\n", "s.toml"); }),
              HasSubstr("sweep.config: expected the configuration file"));
  std::string wide = "[grid]\n";
  for (const char* key : {"run.seed", "batch.micro_batch", "logging.interval"}) {
    wide += std::string(key) + " = [";
    for (int i = 1; i <= 30; ++i) wide += std::to_string(i) + ", ";
    wide += "]\n";
  }
  EXPECT_THAT(complaint_of(wide), HasSubstr("expected at most 10000 runs, got 27000"));
}

TEST(SweepFile, WhereATrunkIsImpossibleIsSaid) {
  const TinyRun tiny;
  const auto links = [&](const std::string& rest) {
    return trunk_links(parse_sweep(
        file_of(tiny, "share_trunk = true\n[grid]\nrun.steps = [20, 10, 40]\n" + rest), "s.toml"));
  };
  const auto good = links("[set]\nschedule.preset = \"wsd\"\nschedule.warmup = 2\n");
  ASSERT_TRUE(good[0] && good[2]);
  EXPECT_FALSE(good[1]);
  EXPECT_EQ(good[0]->before, 1u);
  EXPECT_EQ(good[0]->step, 8);
  EXPECT_EQ(good[2]->before, 0u);
  EXPECT_EQ(good[2]->step, 16);
  EXPECT_THAT(complaint([&] { links(""); }), HasSubstr("expected schedule.preset = \"wsd\""));
  EXPECT_THAT(
      complaint([&] { links("[set]\nschedule.preset = \"wsd\"\nschedule.warmup = \"10%\"\n"); }),
      HasSubstr("expected warm-ups of one length, got 1 and 2 steps"));
  EXPECT_THAT(
      complaint([&] {
        links(
            "[set]\nschedule.preset = \"wsd\"\nschedule.warmup = 9\nschedule.decay = \"10%\"\n"
            "weight_decay_schedule.preset = \"off_midway\"\n");
      }),
      HasSubstr("constant weight decay"));
  EXPECT_THAT(
      complaint([&] {
        links("[set]\nschedule.preset = \"wsd\"\nschedule.warmup = 0\nschedule.decay = \"100%\"\n");
      }),
      HasSubstr("expected the decay to begin after the warm-up"));
}

// A sweep of the tiny model in a process of its own.
struct Family {
  explicit Family(const std::string& rest) { write_text(file(), file_of(tiny, rest)); }
  std::string file() const { return tiny.room() / "family.toml"; }
  Command command(const std::vector<std::string>& arguments = {}) const {
    std::vector<std::string> args = {sibling_program("tern"), "sweep", file()};
    args.insert(args.end(), arguments.begin(), arguments.end());
    return {.args = args, .env = {{"OMP_NUM_THREADS", "1"}}};
  }
  fs::path run(const std::string& name) const { return tiny.room() / "family" / name; }
  std::map<std::string, std::string> result(const std::string& name, int step) const {
    return test::tensors(run(name) / "checkpoints" / checkpoint(step));
  }
  static std::string checkpoint(int step) {
    std::string digits = std::to_string(step);
    return "step-" + std::string(8 - digits.size(), '0') + digits;
  }
  TinyRun tiny;
};

constexpr const char* kTrunk =
    "share_trunk = true\n[set]\nschedule.preset = \"wsd\"\nschedule.warmup = 2\n"
    "[grid]\nmodel.type = [\"matmulfree\", \"transformer\"]\nrun.steps = [40, 20]\n";

TEST(Sweep, ATrunkWithCooldownsHasTheBitsOfWholeRuns) {
  const Family family(kTrunk);
  const Outcome first = run(family.command({"--jobs", "2"}));
  ASSERT_EQ(first.exit_code, 0) << first.out << first.err;
  EXPECT_THAT(first.out, HasSubstr("4 runs: 0 done, 4 to do"));
  ASSERT_EQ(run(family.tiny.command("whole", {"schedule.preset=wsd", "schedule.warmup=2",
                                              "model.type=transformer", "run.steps=40"}))
                .exit_code,
            0);
  EXPECT_EQ(family.result("type-transformer_steps-40", 40),
            test::tensors(family.tiny.checkpoint("whole", 40)));
  EXPECT_EQ(test::losses(family.run("type-matmulfree_steps-40")).begin()->first, 17);
  const auto rows =
      run_rows({family.run("type-transformer_steps-20"), family.run("type-transformer_steps-40")});
  EXPECT_GT(rows[1].seconds, 0);
  EXPECT_EQ(rows[1].tokens, 40 * 64);
  const Outcome again = run(family.command());
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_THAT(again.out, HasSubstr("4 runs: 4 done, 0 to do"));
  EXPECT_THAT(again.out, Not(HasSubstr("begin")));
}

std::string steps(const char* n) {
  return std::string("[set]\nrun.steps = ") + n + "\n[grid]\nrun.seed = [1, 2, 3]\n";
}

TEST(Sweep, KilledAndStoppedOnesGoOnToTheSameBits) {
  const Family family(steps("600")), calm(steps("600"));
  for (const int signal : {SIGKILL, SIGTERM}) {
    Process sweep(family.command({"--jobs", "2"}));
    ASSERT_TRUE(sweep.wait_for("begin"));
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while ((test::losses(family.run("seed-1")).size() < (signal == SIGKILL ? 40u : 80u)) &&
           std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    sweep.send(signal);
    const Outcome outcome = sweep.wait();
    if (signal == SIGKILL) {
      EXPECT_EQ(outcome.signal, SIGKILL);
    } else {
      EXPECT_EQ(outcome.exit_code, int(Fault::stopped)) << outcome.err;
      EXPECT_THAT(outcome.err, HasSubstr("the same command goes on"));
      EXPECT_EQ(read_run(family.run("seed-1")).state, RunState::stopped);
    }
    // the runs of a killed sweep are stopped by the system
    while (read_run(family.run("seed-1")).state == RunState::running &&
           std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_EQ(run(family.command({"--jobs", "2"})).exit_code, 0);
  ASSERT_EQ(run(calm.command({"--jobs", "3"})).exit_code, 0);
  for (const char* name : {"seed-1", "seed-2", "seed-3"})
    EXPECT_EQ(family.result(name, 600), calm.result(name, 600)) << name;
}

TEST(Sweep, AFailedRunIsNamedAndDoesNotStopTheOthers) {
  const Family family(
      "[[run]]\nname = \"nowhere\"\ndata.source.0.path = \"no/such/corpus\"\n"
      "[[run]]\nname = \"good\"\n[[run]]\nname = \"taken\"\nrun.steps = 30\n");
  ASSERT_EQ(run(family.tiny.command("taken",
                                    {"run.directory=" + (family.tiny.room() / "family").string()}))
                .exit_code,
            0);  // of another length, in that place
  const Outcome outcome = run(family.command());
  EXPECT_EQ(outcome.exit_code, int(Fault::input)) << outcome.out;
  EXPECT_THAT(outcome.out, HasSubstr("failed nowhere: no/such/corpus"));
  EXPECT_THAT(outcome.out, HasSubstr("failed taken: exit code 2: "));
  EXPECT_THAT(outcome.out, HasSubstr("holds a different run"));
  EXPECT_THAT(outcome.out, HasSubstr("done   good"));
  EXPECT_THAT(outcome.err, HasSubstr("2 of 3 runs failed, the first: nowhere"));
  const Outcome again = run(family.command());
  EXPECT_THAT(again.out, HasSubstr("3 runs: 1 done, 2 to do"));
  const Outcome list = run(family.command({"--list"}));
  EXPECT_THAT(list.out, HasSubstr("nowhere  missing"));
  EXPECT_THAT(list.out, HasSubstr("good  finished, step 60 of 60"));
}

TEST(Sweep, OneThatDivergedIsAResult) {
  const Family family(
      "[grid]\nrun.seed = [1, 2]\n[set]\noptimizer.lr = 1000\noptimizer.clip = 0\n"
      "model.quantize = \"none\"\nnumerics.max_rewinds = 0\nnumerics.max_skipped = 1\n"
      "optimizer.weight_decay = 10\nrun.steps = 400\n");
  const Outcome outcome = run(family.command());
  ASSERT_EQ(outcome.exit_code, int(Fault::diverged)) << outcome.out << outcome.err;
  EXPECT_EQ(read_run(family.run("seed-1")).state, RunState::diverged);
  EXPECT_THAT(run(family.command()).out, HasSubstr("2 runs: 2 done, 0 to do"));
}

TEST(Sweep, OneProcessAtATime) {
  const Family family(steps("600"));
  Process first(family.command());
  ASSERT_TRUE(first.wait_for("begin"));
  const Outcome second = run(family.command());
  EXPECT_EQ(second.exit_code, int(Fault::usage));
  EXPECT_THAT(second.err, HasSubstr("in use by process"));
}

TEST(RunTable, SortsAndQuotes) {
  const Family family(
      "[grid]\noptimizer.lr = [1e-2, 1e-3]\n[set]\nrun.steps = 10\n"
      "logging.sample_prompts = [\"a,b\"]\n");
  ASSERT_EQ(run(family.command()).exit_code, 0);
  std::vector<RunRow> rows = run_rows(find_runs({family.tiny.room() / "family"}));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].settings, (std::map<std::string, std::string>{{"optimizer.lr", "0.001"}}));
  sort_rows(rows, "optimizer.lr", true);
  EXPECT_EQ(rows[0].name, "lr-0.01");
  sort_rows(rows, "val_loss", false);
  EXPECT_LE(rows[0].val_loss, rows[1].val_loss);
  rows[0].name = "a \"b\",c";
  rows[0].flop = kUnknown;
  EXPECT_THAT(rows_csv(rows), HasSubstr("\n\"a \"\"b\"\",c\",finished,10,"));
  EXPECT_THAT(rows_json(rows), HasSubstr("\"flop\": null"));
  EXPECT_THAT(complaint([&] { sort_rows(rows, "lr", false); }),
              HasSubstr("--sort: expected one of name, state"));
}

}  // namespace
}  // namespace tern
