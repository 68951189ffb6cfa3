// Runs planned for an amount of FLOP or of time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/config/resolved.h"
#include "apps/scaling/report.h"
#include "apps/scaling/run_plan.h"
#include "core/check.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

using testing::HasSubstr;

double gemm_parameters(const ModelConfig& model) {
  return double(count_parameters(model).matrices());
}

RunConfig base(std::int64_t vocab_size, const std::string& type = "matmulfree") {
  RunConfig config;
  config.model.type = type;
  config.model.vocab_size = vocab_size;
  config.data.sources = {{"some/corpus", 1, ""}};
  config.batch.context = 2048;
  return config;
}

TEST(ScalingPlan, ShapesAreNearTheSizeAndLikeThePublishedOnes) {
  for (const double n : {3e5, 1e6, 1e7, 6e7, 3.4e8, 1.3e9, 2.6e9, 7e9, 1e11}) {
    ModelConfig model = base(n < 1e8 ? 1024 : 32'000).model;
    set_shape(model, n);
    EXPECT_NEAR(gemm_parameters(model) / n, 1, 0.25) << n;
    EXPECT_EQ(model.width % 64, 0);
    if (n >= 1e7) {
      const double aspect = double(model.width) / double(model.layers);
      EXPECT_GT(aspect, 32) << n;
      EXPECT_LT(aspect, 128) << n;
      EXPECT_NEAR(gemm_parameters(model) / n, 1, 0.05) << n;
    }
  }
  ModelConfig model = base(320).model;
  EXPECT_THAT(complaint([&] { set_shape(model, 1000); }), HasSubstr("no model of about 1000"));
}

TEST(ScalingPlan, SpendsTheFlopAndWritesAFileThatTrains) {
  for (const char* type : {"matmulfree", "transformer"})
    for (const double flop : {1e15, 1e17, 1e19, 1e21}) {
      const RunPlan plan = plan_run(published_law(), flop, base(8192, type));
      const RunConfig& c = plan.config;
      EXPECT_NEAR(plan.flop / flop, 1, 0.02) << flop;
      EXPECT_EQ(c.run.tokens % c.batch.tokens, 0);
      EXPECT_EQ(c.batch.tokens % c.batch.context, 0);
      EXPECT_GE(total_steps(c), 70) << flop;
      EXPECT_GT(c.optimizer.lr, 1e-4);
      EXPECT_LE(c.optimizer.lr, 1e-2);
      const RunConfig read = parse_config(run_plan_toml(plan, "# why\n"), "plan.toml").config;
      EXPECT_EQ(read.model.width, c.model.width);
      EXPECT_EQ(read.model.layers, c.model.layers);
      EXPECT_EQ(read.model.type, type);
      EXPECT_EQ(read.run.tokens, c.run.tokens);
      EXPECT_EQ(read.optimizer.lr, c.optimizer.lr);
      EXPECT_EQ(read.batch.tokens, c.batch.tokens);
    }
  const double published = plan_run(published_law(), 3.3e19, base(32'000)).config.optimizer.lr;
  EXPECT_NEAR(published, 4e-3, 1e-3);  // near 370M
}

// A machine that is faster with larger models.
TEST(ScalingPlan, TimeIsSpentByTheSpeedOfThePlannedSize) {
  const auto speed = [](const RunConfig& c) {
    return 1e12 * std::min(1.0, gemm_parameters(c.model) / 1e8);
  };
  const RunPlan plan = plan_time(published_law(), 36'000, base(8192), speed);
  EXPECT_NEAR(plan.flop / speed(plan.config) / 36'000, 1, 0.1);
}

TEST(ScalingPlan, GoesByAnOwnFit) {
  const TemporaryDirectory d;
  ScalingTable table = read_table("tests/golden/chinchilla_points.csv");
  table.families[0].name = "ours";
  const ScalingAnalysis analysis =
      analyse(table, {.bootstrap = {.samples = 100}, .hold_out = 0}, "x");
  write_text(d / "fit.json", scaling_json(analysis).dump());
  const ScalingLaw law = saved_law(d / "fit.json", "");
  EXPECT_EQ(law.values, analysis.families[0].fit.law.values);
  EXPECT_EQ(saved_law(d / "fit.json", "ours").values, law.values);
  for (std::size_t i = 0; i < law.values.size(); ++i)
    EXPECT_NEAR(published_law().values[i] / law.values[i], 1, 1e-3);
  EXPECT_THAT(complaint([&] { saved_law(d / "fit.json", "theirs"); }),
              HasSubstr("--family: expected one of ours; got theirs"));
  write_text(d / "no.json", "{}");
  EXPECT_THAT(complaint([&] { saved_law(d / "no.json", ""); }),
              HasSubstr("expected a file of `tern scaling fit --json`"));
  write_text(d / "line.json", R"({"law":"linear","families":[]})");
  EXPECT_THAT(complaint([&] { saved_law(d / "line.json", ""); }),
              HasSubstr("expected the law chinchilla"));
}

TEST(ScalingPlan, ACommandFromHoursToARun) {
  const test::TinyRun tiny;
  const std::string out = tiny.room() / "planned.toml";
  const auto plan = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {sibling_program("tern"), "scaling", "plan", "--data",
                                         test::tiny_corpus().string()});
    return run({.args = arguments, .env = {{"OMP_NUM_THREADS", "1"}}});
  };
  const Outcome good = plan({"--hours", "0.2", "--out", out, "--set", "batch.context=64"});
  ASSERT_EQ(good.exit_code, 0) << good.err;
  EXPECT_THAT(good.out, HasSubstr("measured on cpu"));
  const Outcome trained =
      run({.args = {sibling_program("tern"), "train", out, "--set", "run.tokens=0", "--set",
                    "run.steps=2", "--set", "run.directory=" + tiny.room().string()}});
  EXPECT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_THAT(plan({"--flop", "2e13"}).out, HasSubstr("more than 4 epochs"));
  EXPECT_THAT(plan({}).err, HasSubstr("expected --flop or --hours, got none"));
  EXPECT_THAT(plan({"--flop", "1e12", "--hours", "1"}).err, HasSubstr("got both"));
  EXPECT_THAT(plan({"--flop", "1e12", "--family", "a"}).err, HasSubstr("expected --fit"));
}

}  // namespace
}  // namespace tern
