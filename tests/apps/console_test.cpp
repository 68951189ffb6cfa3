#include "apps/console/console.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

StepReport example() {
  return {.step = 1200,
          .steps = 20000,
          .tokens = 9'830'400,
          .loss = 3.912,
          .loss_mean = 3.95,
          .learning_rate = 3.8e-3,
          .gradient_norm = 0.84,
          .tokens_per_second = 182'345,
          .step_seconds = 0.5,
          .data_seconds = 0.002,
          .share_of_peak = 0.31,
          .memory_bytes = 61e9,
          .memory_limit_bytes = 141e9,
          .seconds_left = 4020};
}

// What `body` shows on a terminal so wide, as bytes (a terminal writes \n as \r\n).
std::string on_terminal(int columns, std::function<void(Console&)> body,
                        std::map<std::string, std::string> env = {}) {
  env.insert({{"TERM", "xterm"}, {"NO_COLOR", ""}});
  const auto show = [&] {
    Console console(STDERR_FILENO);
    body(console);
    return 0;
  };
  return run({.body = show, .env = env, .columns = columns}).out;
}

std::string in_a_pipe(std::function<void(Console&)> body) {
  const auto show = [&] {
    Console console(STDERR_FILENO);
    body(console);
    return 0;
  };
  return run({.body = show}).err;
}

// the lines that remain on a screen after these bytes: knows \r, \n, erasing and colours
std::vector<std::string> screen(const std::string& bytes) {
  std::vector<std::string> lines(1);
  std::size_t column = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string& line = lines.back();
    if (bytes[i] == '\r') {
      column = 0;
    } else if (bytes[i] == '\n') {
      lines.emplace_back();
      column = 0;
    } else if (bytes[i] == '\x1b') {
      const std::size_t end = bytes.find_first_of("mK", i);
      if (bytes[end] == 'K') line.resize(column);
      i = end;
    } else {
      line.resize(std::max(line.size(), column + 1), ' ');
      line[column++] = bytes[i];
    }
  }
  return lines;
}

TEST(StepLine, ReadsAsDocumented) {
  EXPECT_EQ(joined(step_parts(example())),
            "step  1200/20000   6.0%  loss 3.912  mean 3.950  ppl 50.0  lr 3.8e-03  |g| 0.84  "
            "182k tok/s  peak 31%  mem 61/141G  data 0.4%  eta 1h07m");
}

TEST(StepLine, ShowsTheGpuWhereItFits) {
  StepReport r = example();
  r.gpu = {.utilization = 0.98, .power = 651.4, .temperature = 61, .clock = 1755};
  EXPECT_THAT(joined(step_parts(r)), HasSubstr("data 0.4%  gpu 98% 651W 61C 1755MHz  eta"));
  r.gpu = {.temperature = 61};
  EXPECT_THAT(joined(step_parts(r)), HasSubstr("  gpu 61C  eta"));
  EXPECT_THAT(joined(fitting(step_parts(r), 140)), HasSubstr("gpu"));
  EXPECT_THAT(joined(fitting(step_parts(r), 80)), Not(HasSubstr("gpu")));
}

TEST(StepLine, LeavesOutTheUnknownAndShowsTheAlarming) {
  StepReport r{.step = 3, .steps = 9, .loss = NAN, .gradient_norm = INFINITY, .skipped = 2};
  EXPECT_EQ(joined(step_parts(r)), "step 3/9  33.3%  loss nan  lr 0.0e+00  |g| inf  skipped 2");
  r.zero_share = 0.31, r.flip_rate = 2e-4;
  EXPECT_THAT(joined(step_parts(r)), HasSubstr("zeros 31%  flips 2.0e-04"));
  r.memory_bytes = 15.8e6, r.memory_limit_bytes = 23.8e9;
  EXPECT_THAT(joined(step_parts(r)), HasSubstr("mem 15.8M/23.8G"));
}

TEST(StepLine, PartsGiveWayWhereItIsNarrow) {
  const auto at = [](int columns) { return joined(fitting(step_parts(example()), columns)); };
  EXPECT_THAT(at(100), Not(HasSubstr("ppl")));
  EXPECT_EQ(at(80), "step  1200/20000   6.0%  loss 3.912  mean 3.950  182k tok/s  eta 1h07m");
  EXPECT_EQ(at(40), "step  1200/20000  loss 3.912  eta 1h07m");
  for (int columns = 28; columns < 140; ++columns) EXPECT_LE(at(columns).size(), columns);
}

TEST(Console, PlainLinesInAPipe) {
  EXPECT_EQ(
      in_a_pipe([](Console& c) {
        c.say("hello");
        c.live(example());
        c.live("validating");
        c.report(example());
        c.report(ValidationReport{
            .step = 1200, .loss = 3.801, .bits_per_byte = 1.2139, .seconds = 2.13, .best = true});
        c.report(SampleReport{.step = 1200, .prompt = "ROMEO:", .text = "\nO\x1b[2J!\n"});
        c.report(CheckpointReport{.step = 1000,
                                  .path = "runs/x/checkpoints/step-00001000",
                                  .bytes = 1'500'000'000,
                                  .seconds = 2.1});
        c.report(CheckpointReport{.step = 1100, .problem = "No space left on device"});
        c.report(EventReport{.step = 7, .kind = "skip", .text = "loss is nan", .samples = {4, 5}});
        c.report(DiagnosticsReport{.step = 7,
                                   .layers = {{"a", 1e-3, .3, .02, 5}, {"b", 2e-3, .4, .01, 9}}});
        // what a layer does not know is left out, wherever it stands
        c.report(DiagnosticsReport{.step = 8,
                                   .layers = {{"a", 1e-3, .3, .02},
                                              {"b", 2e-3, .4, .01, 9, .25},
                                              {"c", 3e-3, .5, .03, 5, .5},
                                              {"d", 4e-3, .6, .04}}});
      }),
      "hello\n"
      "step  1200/20000   6.0%  loss 3.912  mean 3.950  ppl 50.0  lr 3.8e-03  |g| 0.84  "
      "182k tok/s  peak 31%  mem 61/141G  data 0.4%  eta 1h07m\n"
      "val   step 1200  loss 3.801  ppl 44.7  bits/byte 1.214  2.1s  best\n"
      "sample at step 1200\n"
      "  | ROMEO:\n"
      "  | O\\x1b[2J!\n"
      "checkpoint step 1000 -> runs/x/checkpoints/step-00001000 (1.5 GB, 2.1s)\n"
      "warning: checkpoint step 1100 failed: No space left on device; training continues\n"
      "skip at step 7: loss is nan (samples 4 5)\n"
      "layers step 7  zeros 30%..40%  flips 0.001..0.002  scale 0.01..0.02  absmax 5..9\n"
      "layers step 8  zeros 30%..60%  flips 0.001..0.004  scale 0.01..0.04  absmax 5..9  "
      "underflow 0.25..0.5\n");
}

TEST(Console, TablesAreAligned) {
  const TableRow rows[] = {{"model", "d 256, 6 layers", "config.toml:3"},
                           {"parameters", "4.7M", "default"},
                           {"", "embedding 0.5M"}};
  EXPECT_EQ(in_a_pipe([&](Console& c) { c.table("tern 0.1.0", rows); }),
            "tern 0.1.0\n"
            "  model       d 256, 6 layers  config.toml:3\n"
            "  parameters  4.7M             default\n"
            "              embedding 0.5M\n");
}

TEST(Console, SummarySaysWhatMatters) {
  const std::string text = in_a_pipe([](Console& c) {
    c.report(RunSummary{.outcome = "finished",
                        .step = 100,
                        .steps = 100,
                        .tokens = 819200,
                        .wall_seconds = 100,
                        .training_seconds = 90,
                        .tokens_per_second = 9102,
                        .best_validation_loss = 3.5,
                        .best_step = 90,
                        .peak_memory_bytes = 4e8,
                        .files = {"runs/demo/loss.png"},
                        .next_commands = {"tern plot runs/demo", "tern generate"}});
  });
  EXPECT_EQ(text,
            "finished\n"
            "  steps        100 of 100\n"
            "  tokens       819k\n"
            "  time         1m40s   90% of it in steps\n"
            "  speed        9.1k tok/s\n"
            "  best val     3.5000  ppl 33.12, step 90\n"
            "  peak memory  400 MB\n"
            "  files        runs/demo/loss.png\n"
            "  try next     tern plot runs/demo\n"
            "               tern generate\n");
}

// Nothing was trained, nothing is timed: no "?".
TEST(Fault217, TheSummaryLeavesOutWhatIsNotKnown) {
  const std::string text = in_a_pipe([](Console& c) {
    c.report(RunSummary{.outcome = "nothing to train",
                        .step = 300,
                        .steps = 300,
                        .tokens = 614400,
                        .wall_seconds = 0.2,
                        .skipped = 1});
  });
  EXPECT_EQ(text,
            "nothing to train\n"
            "  steps    300 of 300\n"
            "  tokens   614k\n"
            "  skipped  1 update\n");
}

TEST(Console, ATerminalHasOneLiveLineBelowPermanentOnes) {
  const auto play = [](Console& c) {
    StepReport r = example();
    c.live(r);
    c.report(r);
    c.live("validating");
    c.report(ValidationReport{.step = 1200, .loss = 3.801, .seconds = 2});
    r.step = 1201;
    c.live(r);
  };
  const std::string bytes = on_terminal(150, play);
  const std::vector<std::string> after = screen(bytes);
  ASSERT_EQ(after.size(), 3u);
  EXPECT_EQ(after[0],
            "step  1200/20000   6.0%  loss 3.912  mean 3.950  ppl 50.0  lr 3.8e-03  |g| 0.84  "
            "182k tok/s  peak 31%  mem 61/141G  data 0.4%  eta 1h07m");
  EXPECT_EQ(after[1], "val   step 1200  loss 3.801  ppl 44.7  2.0s");
  EXPECT_EQ(after[2], "");  // the live line is erased at the end
  EXPECT_THAT(bytes, HasSubstr("\r\x1b[K\x1b[2m[\x1b[0m=>                  \x1b[2m]"));
  EXPECT_THAT(bytes, HasSubstr("\r\x1b[Kvalidating"));
  EXPECT_THAT(bytes, HasSubstr("\x1b[1mval   step 1200"));  // bold
}

TEST(Console, ALiveLineLeavesOneColumnFreeAtAnyWidth) {
  for (int columns = 1; columns < 140; ++columns) {
    const std::string bytes = on_terminal(columns, [](Console& c) {
      c.live(example());
      write(STDERR_FILENO, "@", 1);
    });
    const std::string line = bytes.substr(0, bytes.find('@'));
    EXPECT_LT(screen(line).back().size(), columns) << line;
    EXPECT_EQ(screen(line).size(), 1u);
  }
}

TEST(Console, WhatALayersLineShowsFitsTheTerminal) {
  const auto play = [](Console& c) {
    c.report(DiagnosticsReport{
        .step = 1'200'000,
        .layers = {{"a", 9.8e-4, .086, 3.4, 3.7}, {"b", 5.4e-3, .34, 14.4, 17.6}}});
  };
  EXPECT_THAT(screen(on_terminal(90, play))[0], HasSubstr("absmax 3.7..18"));
  const std::string line = screen(on_terminal(80, play))[0];
  EXPECT_LE(line.size(), 80u);
  EXPECT_THAT(line,
              AllOf(HasSubstr("zeros 8.6%..34%"), HasSubstr("absmax"), Not(HasSubstr("scale"))));
}

TEST(Console, LiveLinesComeAtMostTenTimesASecond) {
  const std::string bytes = on_terminal(150, [](Console& c) {
    for (int i = 0; i < 1000; ++i) c.live(example());
  });
  // However slow this machine is, a thousand draws would take it 100 s.
  EXPECT_LT(bytes.size(), 100u * 300u);
}

TEST(Console, NoColourWhereNobodyWantsIt) {
  const auto play = [](Console& c) {
    c.warn("careful");
    c.live("working");
  };
  EXPECT_THAT(on_terminal(80, play), HasSubstr("\x1b[33mwarning: careful\x1b[0m"));
  EXPECT_EQ(on_terminal(80, play, {{"NO_COLOR", "1"}}),
            "warning: careful\r\n\r\x1b[Kworking\r\x1b[K");
  EXPECT_EQ(on_terminal(80, play, {{"TERM", "dumb"}}), "warning: careful\r\n");
}

TEST(Console, TheLogHasAllLinesWhole) {
  const TemporaryDirectory d;
  const auto show = [&] {
    Console console(STDERR_FILENO, d / "train.log");
    console.live(example());
    console.report(example());
    console.say("two\nlines");
    return 0;
  };
  run({.body = show, .env = {{"TERM", "xterm"}}, .columns = 50});
  const std::string log = read_text(d / "train.log");
  EXPECT_THAT(log, HasSubstr("data 0.4%  eta 1h07m\n"));  // not narrowed
  EXPECT_THAT(log, Not(HasSubstr("\x1b")));
  EXPECT_THAT(log, MatchesRegex("([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}  [^\n]+\n){3}"));
}

}  // namespace
}  // namespace tern
