// Runs read back from their directories, beside what was written.
#include "apps/run/run_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "apps/run/run_record.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(RunHistory, EveryReportComesBack) {
  const TemporaryDirectory d;
  {
    Metrics m(d / "metrics.jsonl", [](const std::string& w) { ADD_FAILURE() << w; });
    m.write(EventReport{.step = 1, .kind = "start", .text = "t"});
    m.write(
        StepReport{.step = 1,
                   .tokens = 64,
                   .loss = 3.25,
                   .loss_mean = 3.5,
                   .learning_rate = 1e-3,
                   .gradient_norm = 0.75,
                   .clipped = true,
                   .tokens_per_second = 1000,
                   .step_seconds = 0.5,
                   .data_seconds = 0.25,
                   .share_of_peak = 0.125,
                   .memory_bytes = 3.0 * (1 << 30),
                   .skipped = 2,
                   .zero_share = 0.3,
                   .flip_rate = 0.01,
                   .gpu = {.utilization = 0.9, .power = 600, .temperature = 50, .clock = 1700}});
    m.write(ValidationReport{.step = 1,
                             .tokens = 64,
                             .loss = 3,
                             .bits_per_byte = 1.5,
                             .seconds = 2,
                             .best = true,
                             .sources = {{"a", 2.5}, {"b", kUnknown}}});
    for (const char* text : {"one", "two"})
      m.write(SampleReport{.step = 1, .tokens = 64, .prompt = "p", .text = text});
    m.write(CheckpointReport{.step = 1, .path = "c", .problem = "full", .bytes = 7});
    m.write(DiagnosticsReport{
        .step = 1, .layers = {{.name = "q", .flip_rate = 0.5, .zero_share = 0.25, .scale = 8}}});
  }
  const RunHistory h = read_history(d.path());
  EXPECT_EQ(h.unreadable, 0);
  ASSERT_EQ(h.steps.size(), 1u);
  const StepReport& s = h.steps[0].report;
  EXPECT_EQ(s.tokens, 64);
  EXPECT_EQ(s.loss, 3.25);
  EXPECT_EQ(s.loss_mean, 3.5);
  EXPECT_EQ(s.learning_rate, 1e-3);
  EXPECT_EQ(s.gradient_norm, 0.75);
  EXPECT_TRUE(s.clipped);
  EXPECT_EQ(s.tokens_per_second, 1000);
  EXPECT_EQ(s.step_seconds, 0.5);
  EXPECT_EQ(s.data_seconds, 0.25);
  EXPECT_EQ(s.share_of_peak, 0.125);
  EXPECT_EQ(s.memory_bytes, 3.0 * (1 << 30));
  EXPECT_EQ(s.skipped, 2);
  EXPECT_EQ(s.zero_share, 0.3);
  EXPECT_EQ(s.flip_rate, 0.01);
  EXPECT_EQ(s.gpu.utilization, 0.9);
  EXPECT_EQ(s.gpu.power, 600);
  EXPECT_EQ(s.gpu.temperature, 50);
  EXPECT_EQ(s.gpu.clock, 1700);
  EXPECT_TRUE(std::isnan(s.gpu.memory_bytes));
  ASSERT_EQ(h.validations.size(), 1u);
  const ValidationReport& v = h.validations[0].report;
  EXPECT_EQ(v.loss, 3);
  EXPECT_EQ(v.bits_per_byte, 1.5);
  EXPECT_TRUE(v.best);
  ASSERT_EQ(v.sources.size(), 2u);
  EXPECT_EQ(v.sources[0], (std::pair<std::string, double>("a", 2.5)));
  EXPECT_TRUE(std::isnan(v.sources[1].second));
  ASSERT_EQ(h.samples.size(), 2u);
  EXPECT_EQ(h.samples[1].report.text, "two");
  EXPECT_EQ(h.samples[1].report.index, 1);
  ASSERT_EQ(h.checkpoints.size(), 1u);
  EXPECT_EQ(h.checkpoints[0].report.problem, "full");
  ASSERT_EQ(h.diagnostics.size(), 1u);
  EXPECT_EQ(h.diagnostics[0].report.layers[0].scale, 8);
  EXPECT_TRUE(std::isnan(h.diagnostics[0].report.layers[0].activation_absmax));
  EXPECT_EQ(h.events[0].report.kind, "start");
}

std::vector<std::int64_t> steps_of(const RunHistory& history) {
  std::vector<std::int64_t> steps;
  for (const auto& line : history.steps) steps.push_back(line.report.step);
  return steps;
}

TEST(RunHistory, PausesDoNotCountAndLaterLinesReplaceEarlierOnes) {
  const RunHistory h = parse_history(R"({"t":"event","step":1,"kind":"start","time":100}
{"t":"train","step":1,"tokens":1,"loss":5,"time":100}
{"t":"train","step":2,"tokens":2,"loss":4,"time":110}
{"t":"train","step":3,"tokens":3,"loss":3,"time":120}
{"t":"event","step":2,"kind":"start","time":5000}
{"t":"train","step":2,"tokens":2,"loss":4.5,"time":5001}
not a line
{"t":"train","step":"3"}
{"t":"train","step":3,"tokens":3,"loss":null,"nonfinite":true,"time":5011}
)");
  EXPECT_THAT(steps_of(h), ElementsAre(1, 2, 3));
  EXPECT_EQ(h.steps[1].report.loss, 4.5);
  EXPECT_EQ(h.steps[1].seconds, 21);
  EXPECT_TRUE(std::isnan(h.steps[2].report.loss));
  EXPECT_EQ(h.steps[2].seconds, 31);
  EXPECT_EQ(h.unreadable, 2);
}

TEST(RunHistory, StatesOfRealRuns) {
  const test::TinyRun run;
  ASSERT_EQ(tern::run(run.command("good")).exit_code, 0);
  EXPECT_EQ(tern::run(run.command("killed", {}, {"--inject", "kill:step=6"})).signal, SIGKILL);
  EXPECT_EQ(read_run(run.directory("killed")).state, RunState::unknown);
  const SavedRun good = read_run(run.directory("good"));
  EXPECT_EQ(good.state, RunState::finished);
  ASSERT_TRUE(good.config.has_value());
  EXPECT_EQ(good.tokens(), good.step() * good.config->batch.tokens);
  EXPECT_GT(good.flop_per_token(), 0);
  EXPECT_THAT(good.environment, HasSubstr("command"));
  std::vector<std::string> names;
  for (const fs::path& path : find_runs({run.room()})) names.push_back(name_of_run(path));
  EXPECT_THAT(names, ElementsAre("good", "killed"));
  EXPECT_EQ(find_runs({run.directory("good"), run.room(), run.directory("good") / "metrics.jsonl"})
                .size(),
            3u);  // a metrics file is read as one
  const RunLock held(run.directory("good") / ".lock");
  EXPECT_EQ(read_run(run.directory("good")).state, RunState::running);
}

TEST(RunHistory, WhatIsNoRunIsSaidInOneLine) {
  const TemporaryDirectory d;
  fs::create_directories(d / "empty");
  EXPECT_THAT(complaint([&] { find_runs({d / "empty"}); }), HasSubstr("no run"));
  EXPECT_THAT(complaint([&] { find_runs({d / "gone"}); }), HasSubstr("nothing of that name"));
  EXPECT_THAT(complaint([&] { read_run(d / "empty"); }), HasSubstr("without metrics.jsonl"));
}

}  // namespace
}  // namespace tern
