#include "apps/plot/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdint>

#include "apps/run/pace.h"
#include "apps/run/run_record.h"
#include "core/check.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

void make_run(const std::string& directory, int steps) {
  std::filesystem::create_directories(directory);
  Metrics m(directory + "/metrics.jsonl", [](const std::string& w) { ADD_FAILURE() << w; });
  for (int i = 1; i <= steps; ++i) {
    m.write(StepReport{.step = i, .tokens = 100 * i, .loss = 3 + 5.0 / i, .gradient_norm = 1});
    if (i % 10 == 0) m.write(ValidationReport{.step = i, .tokens = 100 * i, .loss = 3.1 + 5.0 / i});
  }
}

// width and height from a PNG's header; zeros if it is none
std::pair<std::uint32_t, std::uint32_t> png_size(const std::string& path) {
  const std::string b = read_text(path);
  if (b.size() < 24 || !b.starts_with("\x89PNG\r\n\x1a\n") || b.substr(12, 4) != "IHDR") return {};
  const auto number = [&](std::size_t at) {
    std::uint32_t n = 0;
    for (std::size_t i = at; i < at + 4; ++i) n = n << 8 | std::uint8_t(b[i]);
    return n;
  };
  return {number(16), number(20)};
}

using Size = std::pair<std::uint32_t, std::uint32_t>;

TEST(Plot, DrawsOneRunAndSeveral) {
  const TemporaryDirectory d;
  make_run(d / "one", 40);
  make_run(d / "it's {x_2} \"$(touch pwned)`\\", 20);
  plot_runs({d / "one"}, d / "one.png");
  EXPECT_EQ(png_size(d / "one.png"), Size(1280, 800));
  plot_runs({d / "one", d / "it's {x_2} \"$(touch pwned)`\\", d / "one/metrics.jsonl"},
            d / "all.png");
  EXPECT_EQ(png_size(d / "all.png"), Size(1280, 800));
}

TEST(Plot, DrawsWhateverLossesThereAre) {
  const TemporaryDirectory d;
  const char* lines[] = {
      R"({"t":"train","step":1,"tokens":0,"loss":5})",
      R"({"t":"val","step":1,"tokens":64,"loss":5})",
      R"({"t":"train","step":1,"tokens":1e300,"loss":1e300})",
      R"({"t":"train","step":1,"tokens":-5,"loss":-5})",
  };
  for (const char* line : lines) {
    write_text(d / "metrics.jsonl", line);
    plot_runs({d.path()}, d / "loss.png");
    EXPECT_EQ(png_size(d / "loss.png"), Size(1280, 800)) << line;
    std::filesystem::remove(d / "loss.png");
  }
}

constexpr PlotAxis kBoth[] = {PlotAxis::tokens, PlotAxis::seconds};

TEST(Plot, OverTokensAndSecondsSideBySide) {
  const TemporaryDirectory d;
  write_text(d / "metrics.jsonl",
             R"({"t":"val","step":0,"tokens":0,"loss":9,"time":1000})"
             "\n"
             R"({"t":"train","step":1,"tokens":3000,"loss":7,"time":1002.5})"
             "\n"
             R"({"t":"val","step":2,"tokens":6000,"loss":5,"time":1900})"
             "\n"
             R"({"t":"val","step":3,"tokens":9000,"loss":4})");  // an older release: no time
  const NamedCurve curve{"run", read_losses(d.path())};
  EXPECT_EQ(curve.curve.train[0].seconds, 2.5);
  const std::string script = plot_script({&curve, 1}, kBoth);
  EXPECT_THAT(script, AllOf(HasSubstr("set xlabel 'thousands of tokens'"), HasSubstr("\n6 5\n"),
                            HasSubstr("set xlabel 'minutes'"), HasSubstr("\n15 5\n")));
  plot_runs({d.path()}, d / "both.png", kBoth);
  EXPECT_EQ(png_size(d / "both.png"), Size(1920, 800));
}

TEST(Plot, NamesAreQuotedInTheScript) {
  const NamedCurve curve{"it's\n`x`", {.train = {{1, 100, 3}}}};
  EXPECT_THAT(plot_script({&curve, 1}), HasSubstr("set title 'it''s `x`' "));
}

TEST(Plot, LongRunsAreThinnedOut) {
  NamedCurve curve{"long", {}};
  for (int i = 1; i <= 100000; ++i) curve.curve.train.push_back({i, 1000.0 * i, 3 + 1e3 / i});
  EXPECT_LT(plot_script({&curve, 1}).size(), 200000u);
}

TEST(Plot, NothingToDrawIsAnError) {
  const TemporaryDirectory d;
  write_text(d / "metrics.jsonl", "");
  try {
    plot_runs({d.path()}, d / "loss.png");
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::input);
  }
  EXPECT_FALSE(std::filesystem::exists(d / "loss.png"));
}

TEST(Plot, CommandDrawsIntoTheRunOrWhereItIsTold) {
  const TemporaryDirectory d;
  make_run(d / "r", 20);
  const std::string tern = sibling_program("tern");
  const Outcome one = run({.args = {tern, "plot", d / "r"}});
  EXPECT_EQ(one.exit_code, 0) << one.err;
  EXPECT_EQ(one.out, (d / "r/loss.png") + "\n");
  EXPECT_EQ(png_size(d / "r/loss.png"), Size(1280, 800));
  const Outcome other = run({.args = {tern, "plot", d / "r", d / "r", "--out", d / "both.png"}});
  EXPECT_EQ(other.exit_code, 0) << other.err;
  EXPECT_EQ(png_size(d / "both.png"), Size(1280, 800));
  const Outcome none = run({.args = {tern, "plot", d / "nowhere"}});
  EXPECT_EQ(none.exit_code, 3);
  EXPECT_THAT(none.err, HasSubstr("nowhere"));
}

TEST(Picture, IsDrawnByACommand) {
  const TemporaryDirectory d;
  make_run(d / "r", 20);
  Picture p(
      d / "r", [](const std::string& w) { ADD_FAILURE() << w; }, sibling_program("tern"));
  p.refresh();
  p.finish();
  EXPECT_EQ(png_size(d / "r/loss.png"), Size(1280, 800));
}

TEST(Picture, OneAtATimeAndOnceMoreAtTheEnd) {
  const TemporaryDirectory d;
  write_text(d / "slow", "#!/bin/sh\necho $1 >> \"$3/starts\"\nsleep 0.2\n");
  chmod((d / "slow").c_str(), 0755);
  Picture p(
      d.path(), [](const std::string& w) { ADD_FAILURE() << w; }, d / "slow");
  p.refresh();
  while (!std::filesystem::exists(d / "starts")) p.refresh();
  for (int i = 0; i < 10; ++i) p.refresh();
  p.finish();
  EXPECT_EQ(read_text(d / "starts"), "plot\nplot\n");
}

TEST(Picture, WithoutGnuplotThereIsOneWarning) {
  const TemporaryDirectory d;
  make_run(d / "r", 20);
  const auto body = [&] {
    int warnings = 0;
    Picture p(
        d / "r", [&](const std::string&) { ++warnings; }, sibling_program("tern"));
    for (int i = 0; i < 3; ++i) p.refresh();
    p.finish();
    return warnings;
  };
  EXPECT_EQ(run({.body = body, .env = {{"PATH", "/nowhere"}}}).exit_code, 1);
  const Outcome command =
      run({.args = {sibling_program("tern"), "plot", d / "r"}, .env = {{"PATH", "/nowhere"}}});
  EXPECT_EQ(command.exit_code, 2);
  EXPECT_THAT(command.err, HasSubstr("gnuplot is not installed"));
}

TEST(Picture, ABrokenGnuplotIsWarnedOfOnce) {
  const TemporaryDirectory d;
  make_run(d / "r", 20);
  write_text(d / "gnuplot", "#!/bin/sh\necho broken >&2\nexit 9\n");
  chmod((d / "gnuplot").c_str(), 0755);
  const auto body = [&] {
    int warnings = 0;
    Picture p(
        d / "r", [&](const std::string&) { ++warnings; }, sibling_program("tern"));
    for (int i = 0; i < 3; ++i) p.finish();
    return warnings;
  };
  EXPECT_EQ(run({.body = body, .env = {{"PATH", d.path().string() + ":/bin"}}}).exit_code, 1);
}

}  // namespace
}  // namespace tern
