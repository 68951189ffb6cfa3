#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "apps/plot/plot.h"
#include "apps/run/run_record.h"
#include "core/check.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using Json = nlohmann::json;

const auto kNoWarning = [](const std::string& text) { ADD_FAILURE() << text; };

std::vector<Json> lines_of(const std::string& path) {
  std::istringstream in(read_text(path));
  std::vector<Json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
  return lines;
}

TEST(Metrics, WritesEveryTypeAsOneLine) {
  const TemporaryDirectory d;
  const std::string file = d / "metrics.jsonl";
  Metrics m(file, kNoWarning);
  m.write(StepReport{.step = 10,
                     .steps = 20,
                     .tokens = 5120,
                     .loss = 3.5,
                     .learning_rate = 1e-3,
                     .gradient_norm = 0.84,
                     .clipped = true,
                     .tokens_per_second = 182345.678,
                     .step_seconds = 0.0125,
                     .memory_bytes = double(3ull << 30),
                     .skipped = 2});
  m.write(ValidationReport{.step = 10,
                           .tokens = 5120,
                           .loss = 3.75,
                           .seconds = 1.5,
                           .best = true,
                           .sources = {{"a", 3}}});
  m.write(SampleReport{.step = 10, .prompt = "O", .text = "line\nline \"quoted\" \xff"});
  m.write(CheckpointReport{.step = 10, .path = "c/step-10", .bytes = 1500});
  m.write(EventReport{.step = 11, .kind = "skip", .text = "not finite", .samples = {7, 9}});
  m.write(DiagnosticsReport{.step = 11, .layers = {{.name = "layers.0", .zero_share = 0.25}}});

  const std::vector<Json> l = lines_of(file);
  ASSERT_EQ(l.size(), 6u);
  for (const Json& line : l) {
    EXPECT_EQ(line["v"], 1);
    EXPECT_GT(line["time"], 1e9);
    EXPECT_FALSE(line.contains("nonfinite"));
  }
  EXPECT_EQ(l[0]["t"], "train");
  EXPECT_EQ(l[0]["loss"], 3.5);
  EXPECT_EQ(l[0]["grad_norm_clipped"], true);
  EXPECT_EQ(l[0]["tok_s"], 182350);  // five digits
  EXPECT_EQ(l[0]["step_ms"], 12.5);
  EXPECT_EQ(l[0]["mem_gib"], 3);
  EXPECT_EQ(l[0]["skipped"], 2);
  EXPECT_FALSE(l[0].contains("share_of_peak"));  // unknown
  EXPECT_EQ(l[1]["t"], "val");
  EXPECT_EQ(l[1]["sources"]["a"], 3);
  EXPECT_EQ(l[2]["text"], "line\nline \"quoted\" \xef\xbf\xbd");
  EXPECT_EQ(l[3]["ok"], true);
  EXPECT_EQ(l[4]["samples"], Json({7, 9}));
  EXPECT_EQ(l[5]["layers"][0]["zero_frac"], 0.25);
  EXPECT_FALSE(l[5]["layers"][0].contains("scale"));
}

TEST(Metrics, ALossThatIsNotFiniteIsNullAndSaysSo) {
  const TemporaryDirectory d;
  Metrics m(d / "m", kNoWarning);
  m.write(StepReport{.step = 1, .loss = NAN, .gradient_norm = 1});
  m.write(StepReport{.step = 2, .loss = 1, .gradient_norm = INFINITY});
  m.write(ValidationReport{.step = 2, .loss = 1, .sources = {{"a", NAN}}});
  for (const Json& line : lines_of(d / "m")) EXPECT_EQ(line["nonfinite"], true) << line;
  EXPECT_TRUE(lines_of(d / "m")[0]["loss"].is_null());
  EXPECT_TRUE(lines_of(d / "m")[1]["grad_norm"].is_null());
}

TEST(Metrics, LossesComeBackToTheLastBit) {
  const TemporaryDirectory d;
  const double loss = 3.9119999408721924, other = std::nextafter(loss, 4);
  Metrics m(d / "m", kNoWarning);
  m.write(StepReport{.step = 1, .tokens = 1, .loss = loss});
  m.write(StepReport{.step = 2, .tokens = 2, .loss = other});
  const LossCurve c = read_losses(d / "m");
  ASSERT_EQ(c.train.size(), 2u);
  EXPECT_EQ(c.train[0].loss, loss);
  EXPECT_EQ(c.train[1].loss, other);
}

TEST(Metrics, AnUnfinishedLineIsCutBeforeTheNext) {
  const TemporaryDirectory d;
  write_text(d / "m", "{\"step\":1}\n{\"step\":2,\"lo");
  Metrics(d / "m", kNoWarning).write(EventReport{.step = 3});
  const std::vector<Json> l = lines_of(d / "m");
  ASSERT_EQ(l.size(), 2u);
  EXPECT_EQ(l[1]["step"], 3);
}

TEST(Metrics, AFileOfOneLongUnfinishedLineIsEmptied) {
  const TemporaryDirectory d;
  write_text(d / "m", std::string(10000, 'x'));
  Metrics(d / "m", kNoWarning).write(EventReport{.step = 3});
  EXPECT_EQ(lines_of(d / "m").size(), 1u);
}

TEST(Metrics, RefusesWhatIsNoRegularFile) {
  const TemporaryDirectory d;
  std::filesystem::create_symlink("elsewhere", d / "link");
  EXPECT_THROW(Metrics(d / "link", kNoWarning), Error);
  EXPECT_THROW(Metrics("/dev/null", kNoWarning), Error);
}

TEST(Metrics, ResumingDropsLaterStepsAndJunk) {
  const TemporaryDirectory d;
  write_text(d / "m",
             "{\"step\":1}\n{\"step\":3}\njunk\n{\"step\":2}\n{\"v\":1}\n[1]\n{\"step\":1.5}\n"
             "{\"step\":2,\"unfin");
  drop_metrics_after(d / "m", 2);
  EXPECT_EQ(read_text(d / "m"), "{\"step\":1}\n{\"step\":2}\n");
  drop_metrics_after(d / "m", 2);
  EXPECT_EQ(read_text(d / "m"), "{\"step\":1}\n{\"step\":2}\n");
  drop_metrics_after(d / "none", 2);
  EXPECT_FALSE(std::filesystem::exists(d / "none"));
}

std::string train_line(int step, double loss) {
  return "{\"v\":1,\"t\":\"train\",\"step\":" + std::to_string(step) +
         ",\"tokens\":" + std::to_string(10 * step) + ",\"loss\":" + std::to_string(loss) + "}\n";
}

TEST(LossCurve, ReadsPastWhatItDoesNotUnderstand) {
  const LossCurve c = parse_losses(
      train_line(1, 5) + "\n\x01\x02\xff\n{\"t\":1}\n{\"t\":\"train\",\"step\":\"2\"}\n" +
      "{\"t\":\"train\",\"step\":1e300,\"tokens\":1,\"loss\":1}\n" + std::string(100000, '[') +
      "\n" + std::string(2 << 20, ' ') + "\n{\"t\":\"sample\",\"step\":1}\n" +
      "{\"t\":\"train\",\"step\":2,\"tokens\":20,\"loss\":null,\"nonfinite\":true}\n" +
      "{\"t\":\"val\",\"step\":2,\"tokens\":20,\"loss\":4.5}\n" + train_line(3, 4) +
      "{\"v\":1,\"t\":\"train\",\"step\":4,\"tok");
  ASSERT_EQ(c.train.size(), 2u);
  EXPECT_EQ(c.train[1].step, 3);
  EXPECT_EQ(c.train[1].tokens, 30);
  ASSERT_EQ(c.validation.size(), 1u);
  EXPECT_EQ(c.validation[0].loss, 4.5);
  EXPECT_EQ(c.unreadable, 7);
}

TEST(LossCurve, ASecondAttemptReplacesTheFirst) {
  const LossCurve c = parse_losses(train_line(1, 5) + train_line(2, 4) + train_line(3, 9) +
                                   train_line(2, 3.5) + train_line(3, 3));
  ASSERT_EQ(c.train.size(), 3u);
  EXPECT_EQ(c.train[1].loss, 3.5);
  EXPECT_EQ(c.train[2].loss, 3);
}

TEST(LossCurve, NoBytesMakeItFail) {
  std::string good;
  for (int i = 1; i < 20; ++i) good += train_line(i, 5);
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string bad = good;
    for (int k = 0; k < 8; ++k) bad[random() % bad.size()] = char(random());
    const LossCurve c = parse_losses(bad);
    EXPECT_LE(c.train.size(), 40u);
  }
}

TEST(LossCurve, MissingMetricsAreNamed) {
  const TemporaryDirectory d;
  try {
    read_losses(d.path());
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::input);
    EXPECT_NE(std::string(e.what()).find("metrics.jsonl"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace tern
