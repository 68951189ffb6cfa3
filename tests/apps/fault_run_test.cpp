// What goes wrong around a training run: rows 7, 10, 12, 14 and 21 of the fault list.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "apps/console/console.h"
#include "apps/run/pace.h"
#include "apps/run/run_record.h"
#include "apps/run/signals.h"
#include "core/check.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::HasSubstr;
using testing::Not;

// a stand-in for the training loop: steps until asked to stop, then takes a while to save
int train_until_stopped() {
  Signals signals(STDERR_FILENO);
  Console console(STDERR_FILENO);
  for (int step = 1; step < 3000; ++step) {
    console.live(StepReport{.step = step, .steps = 3000, .loss = 3, .gradient_norm = 1});
    if (step == 3) console.say("ready");
    usleep(10'000);
    if (!signals.stop_requested()) continue;
    console.say("saving");
    for (int i = 0; i < 300; ++i) usleep(10'000);
    return int(Fault::stopped);
  }
  return 0;
}

TEST(Fault07, TheFirstInterruptFinishesAndSaves) {
  Process p({.body = [] {
    Signals signals;
    std::puts("ready"), std::fflush(stdout);
    for (int i = 0; i < 3000 && !signals.stop_requested(); ++i) usleep(10'000);
    return signals.stop_signal() == SIGINT ? int(Fault::stopped) : 1;
  }});
  ASSERT_TRUE(p.wait_for("ready"));
  p.send(SIGINT);
  EXPECT_EQ(p.wait().exit_code, 75);
}

TEST(Fault07, TheSecondInterruptEndsAtOnce) {
  Process p({.body = train_until_stopped, .env = {{"TERM", "xterm"}}, .columns = 80});
  ASSERT_TRUE(p.wait_for("ready"));
  p.send(SIGINT);
  ASSERT_TRUE(p.wait_for("saving"));
  p.send(SIGINT);
  const Outcome o = p.wait();
  EXPECT_EQ(o.exit_code, 130);
  EXPECT_TRUE(o.out.ends_with("\x1b[0m\r\n")) << o.out;  // the terminal is left tidy
}

TEST(Fault10, ABrokenPipeDoesNotStopTraining) {
  const TemporaryDirectory d;
  const auto body = [&] {
    Signals signals;
    Console console(STDOUT_FILENO, d / "train.log");
    for (int i = 0; i < 100; ++i) console.say("line " + std::to_string(i));
    return console.terminal().broken() ? 0 : 1;
  };
  EXPECT_EQ(run({.body = body, .broken_output = true}).exit_code, 0);
  EXPECT_THAT(read_text(d / "train.log"), HasSubstr("  line 99\n"));
}

TEST(Fault10, AClosedStreamAndALostTerminalDoNotStopTraining) {
  const TemporaryDirectory d;
  Process p({.body =
                 [&] {
                   Signals signals;
                   Console console(STDERR_FILENO, d / "train.log");
                   raise(SIGHUP);
                   console.say("before");
                   close(STDERR_FILENO);
                   for (int i = 0; i < 10; ++i) console.live("working"), console.say("after");
                   return 0;
                 },
             .columns = 80});
  EXPECT_EQ(p.wait().exit_code, 0);
  EXPECT_THAT(read_text(d / "train.log"), HasSubstr("  after\n"));
}

TEST(Fault10, FilesDoNotTakeThePlaceOfClosedStreams) {
  const TemporaryDirectory d;
  const auto body = [&] {
    close(STDIN_FILENO), close(STDOUT_FILENO), close(STDERR_FILENO);
    occupy_standard_streams();
    Console console(STDERR_FILENO, d / "train.log");
    console.say("once");
    return console.terminal().broken() ? 1 : 0;
  };
  EXPECT_EQ(run({.body = body}).exit_code, 0);
  const std::string log = read_text(d / "train.log");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
}

TEST(Fault12, WithoutATerminalThereAreOnlyPlainLines) {
  const auto body = [] {
    Signals signals;
    Console console(STDERR_FILENO);
    const StepReport r{.step = 5, .steps = 10, .loss = 3, .gradient_norm = 1};
    for (int i = 0; i < 3; ++i) console.live(r), console.live("validating"), console.report(r);
    return 0;
  };
  const Outcome o = run({.body = body, .closed_input = true});
  EXPECT_EQ(o.exit_code, 0);
  EXPECT_THAT(o.err, Not(HasSubstr("\r")));
  EXPECT_THAT(o.err, Not(HasSubstr("\x1b")));
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 3);
}

// Writes until the disk is full, a little more, then after free_space() again.
int fill_metrics(const std::string& file, const std::function<void()>& free_space) {
  Signals signals;  // ignores SIGXFSZ
  int warnings = 0;
  Metrics m(file, [&](const std::string& text) {
    ++warnings;
    std::fprintf(stderr, "%s\n", text.c_str());
  });
  int step = 1;
  for (; m.lost() < 50 && step < 100000; ++step)
    m.write(EventReport{.step = step, .kind = "test", .text = std::string(step % 300, 'x')});
  free_space();
  for (int i = 0; i < 5; ++i) m.write(EventReport{.step = ++step, .kind = "after"});
  return m.lost() == 0 && warnings == 1 ? 0 : 1;
}

void expect_whole_lines_with_a_gap(const std::string& file) {
  std::ifstream in(file);
  int lines = 0, after = 0, lost = 0;
  for (std::string line; std::getline(in, line); ++lines) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    ASSERT_TRUE(json.is_object()) << line;
    after += json["kind"] == "after";
    if (json["kind"] == "metrics_lost") lost += json["lines"].get<int>();
  }
  EXPECT_GT(lines, 20);
  EXPECT_EQ(after, 5);
  EXPECT_GE(lost, 50);
}

TEST(Fault14, AFullDiskCostsMetricsLinesOnly) {
  const TemporaryDirectory d;
  const SmallDisk disk(d / "disk", 64 << 10);
  if (!disk.mounted())
    GTEST_SKIP() << "mounting is refused here; the next test has a limit instead";
  write_text(d / "disk/ballast", std::string(16 << 10, 'b'));
  const auto body = [&] {
    return fill_metrics(d / "disk/m", [&] { std::filesystem::remove(d / "disk/ballast"); });
  };
  const Outcome o = run({.body = body});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.err, HasSubstr("No space left on device"));
  expect_whole_lines_with_a_gap(d / "disk/m");
}

TEST(Fault14, AFileThatMayNotGrowCostsMetricsLinesOnly) {
  const TemporaryDirectory d;
  const auto body = [&] {
    const auto soft_limit = [](rlim_t bytes) {
      const rlimit limit{bytes, RLIM_INFINITY};
      setrlimit(RLIMIT_FSIZE, &limit);
    };
    soft_limit(10'000);
    return fill_metrics(d / "m", [&] { soft_limit(RLIM_INFINITY); });
  };
  const Outcome o = run({.body = body});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  expect_whole_lines_with_a_gap(d / "m");
}

TEST(Fault14, AFullDiskCostsLogLinesOnly) {
  const TemporaryDirectory d;
  const auto body = [&] {
    Signals signals;
    Console console(STDERR_FILENO, d / "train.log");
    for (int i = 0; i < 100; ++i) console.say(std::string(90, 'x'));
    return 0;
  };
  const Outcome o = run({.body = body, .limits = {{RLIMIT_FSIZE, 5000}}});
  EXPECT_EQ(o.exit_code, 0);
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 101);  // one warning
  EXPECT_THAT(o.err, HasSubstr("warning: train.log: File too large"));
  EXPECT_TRUE(read_text(d / "train.log").ends_with("x\n"));
}

TEST(Fault21, AClockThatJumpsBackHarmsNothing) {
  Pace p;
  p.add_step(1, 100);
  p.add_step(-600, 100);
  p.add_pause(-100);
  p.add_step(1, 100);
  EXPECT_GT(p.tokens_per_second(), 0);
  EXPECT_EQ(p.mean_tokens_per_second(), 200);
  EXPECT_GE(p.seconds_left(10), 0);
  const double before = monotonic_seconds();
  EXPECT_GE(monotonic_seconds(), before);
}

}  // namespace
}  // namespace tern
