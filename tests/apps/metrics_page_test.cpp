// docs/metrics.md names every key that is written, and nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "apps/console/console.h"
#include "apps/run/run_record.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using Json = nlohmann::json;
using Names = std::set<std::string>;

// The first column of each table of the page, by the heading above it.
std::map<std::string, Names> documented() {
  std::map<std::string, Names> out;
  std::istringstream in(read_text("docs/metrics.md"));
  std::string heading;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("#")) heading = line.substr(line.find_first_not_of("# "));
    if (!line.starts_with("| `")) continue;
    std::string name = line.substr(3, line.find('`', 3) - 3);
    std::erase(name, '\\');  // of \| in a table
    EXPECT_TRUE(out[heading].insert(name).second) << name << " twice under " << heading;
  }
  return out;
}

constexpr double kSome = 0.5;

// Reports that leave nothing out.
StepReport step_report() {
  return {.step = 1,
          .steps = 2,
          .tokens = 3,
          .loss = kSome,
          .loss_mean = kSome,
          .learning_rate = kSome,
          .gradient_norm = kSome,
          .tokens_per_second = kSome,
          .step_seconds = kSome,
          .data_seconds = kSome,
          .share_of_peak = kSome,
          .memory_bytes = 1,
          .seconds_left = 1,
          .skipped = 1,
          .zero_share = kSome,
          .flip_rate = kSome,
          .gpu = {kSome, kSome, kSome, kSome, kSome}};
}

void write_all(Metrics& m) {
  StepReport odd = step_report();
  odd.gradient_norm = NAN;
  m.write(step_report());
  m.write(odd);
  m.write(ValidationReport{
      .loss = kSome, .bits_per_byte = kSome, .seconds = kSome, .sources = {{"a", kSome}}});
  m.write(SampleReport{});
  m.write(CheckpointReport{});
  m.write(CheckpointReport{.problem = "full"});
  m.write(EventReport{.samples = {1}});
  m.write(DiagnosticsReport{.layers = {{"a", kSome, kSome, kSome, kSome, kSome}}});
}

// The keys of each type of line; those of all lines under "every line".
std::map<std::string, Names> written() {
  const TemporaryDirectory d;
  Metrics m(d / "m", [](const std::string& text) { ADD_FAILURE() << text; });
  write_all(m);
  std::map<std::string, Names> out = {{"every line", {"v", "t", "step", "time", "nonfinite"}},
                                      {"event", {"lines"}}};
  std::istringstream in(read_text(d / "m"));
  for (std::string text; std::getline(in, text);) {
    const Json line = Json::parse(text);
    Names& keys = out[line["t"]];
    for (const auto& [key, value] : line.items()) {
      if (!out["every line"].contains(key)) keys.insert(key);
      if (key != "layers") continue;
      for (const auto& [inner, number] : value[0].items()) keys.insert(inner);
    }
  }
  return out;
}

TEST(Fault215, EveryKeyOfTheMetricsIsDocumented) {
  std::map<std::string, Names> page = documented();
  page.erase("The line of a step");
  EXPECT_EQ(page, written());
}

TEST(Fault215, EveryFieldOfTheStepLineIsDocumented) {
  Names fields;
  for (const LinePart& part : step_parts(step_report())) {
    std::string name = part.before.empty() ? part.after : part.before;
    std::erase(name, ' ');
    if (!name.empty()) fields.insert(name);  // the share of steps stands beside `step`
  }
  EXPECT_EQ(documented()["The line of a step"], fields);
}

}  // namespace
}  // namespace tern
