// tern scaling fit: what it prints, writes and refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/scaling/picture.h"
#include "apps/scaling/report.h"
#include "core/check.h"
#include "tests/support/complaint.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// N x D points that lie on the law
ScalingFamily family_on(const std::string& name, const LawValues& values) {
  const ScalingLaw law{LawKind::chinchilla, values};
  ScalingFamily family{name, {}};
  for (const double N : {2e7, 1e8, 5e8})
    for (const double D : {5e8, 3e9, 2e10}) family.points.push_back({N, D, law.loss(N, D)});
  return family;
}

ScalingTable two_families() {
  ScalingTable table;
  table.families = {family_on("old", {480, 2100, 1.80, 0.35, 0.37}),
                    family_on("new", {2500, 2600, 1.62, 0.42, 0.37})};
  return table;
}

Fault fault_of(const ScalingTable& table, const ScalingOptions& options) {
  try {
    analyse(table, options, "t");
  } catch (const Error& e) {
    return e.fault;
  }
  return Fault::internal;
}

TEST(ScalingAnalysis, HoldsOutATenthWhereThereAreEnoughPoints) {
  const ScalingTable published = read_table("tests/golden/chinchilla_points.csv");
  const auto held_out = [](const ScalingTable& table, ScalingOptions options) {
    options.bootstrap.samples = 100;
    return analyse(table, options, "t").families[0].held_out;
  };
  const auto points = held_out(published, {});
  ASSERT_EQ(points.size(), 24u);
  for (const HeldOutPoint& p : points) EXPECT_GT(p.point.flop(), 9e20);
  EXPECT_NEAR(points.back().point.flop() / 1.2956e22, 1, 1e-3);  // the largest
  EXPECT_NEAR(points.back().predicted, 2.136, 0.01);
  EXPECT_GT(points.back().interval.high - points.back().interval.low, 0.03);

  ScalingTable few = two_families();
  EXPECT_EQ(held_out(few, {}).size(), 1u);
  const HeldOutPoint last = held_out(few, {})[0];
  EXPECT_EQ(last.point.tokens, 2e10);
  EXPECT_NEAR(last.predicted, last.point.loss, 1e-6);
  EXPECT_EQ(held_out(few, {.hold_out = 2}).size(), 2u);
  EXPECT_EQ(held_out(few, {.hold_out = 0}).size(), 0u);
  few.families[0].points.resize(7);  // without the largest the law could not be checked
  few.families.pop_back();
  EXPECT_EQ(held_out(few, {}).size(), 0u);
  EXPECT_EQ(fault_of(few, {.hold_out = 2}), Fault::usage);
}

TEST(ScalingAnalysis, HeldOutPointsAreNotInTheFitThatPredictsThem) {
  ScalingTable table;
  table.families = {{"", {}}};
  for (int i = 0; i < 10; ++i)
    table.families[0].points.push_back({1e7 * std::pow(10, i / 4.0), 1e9, 4 - 0.1 * i});
  table.families[0].points.back().loss = 2;  // 3.1 lies on the line of the others
  const ScalingAnalysis a =
      analyse(table, {.law = LawKind::linear, .bootstrap = {.samples = 100}}, "t");
  const HeldOutPoint& last = a.families[0].held_out.at(0);
  EXPECT_NEAR(last.predicted, 3.1, 1e-9);
  EXPECT_FALSE(last.interval.holds(2));
  EXPECT_LT(a.families[0].fit.law.loss(last.point.parameters, 1e9), 2.9);  // of all points
  EXPECT_THAT(scaling_report(a), AllOf(HasSubstr("0 of 1 inside"), HasSubstr("OUTSIDE")));
}

TEST(ScalingAnalysis, PointsThatCannotDetermineTheLawAreRefused) {
  const auto family = [](std::size_t i) {
    return ScalingTable{.families = {two_families().families[i]}};
  };
  ScalingTable table = family(1);
  table.families[0].points.resize(5);
  EXPECT_EQ(fault_of(table, {}), Fault::input);
  EXPECT_EQ(fault_of(table, {.law = LawKind::power}), Fault::usage);  // no reading error
  EXPECT_EQ(fault_of(table, {.law = LawKind::power, .bootstrap = {.error = 9}}), Fault::usage);
  table.families[0].points.resize(1);
  EXPECT_EQ(fault_of(table, {.law = LawKind::linear, .bootstrap = {.error = 0.1}}), Fault::input);
  table = family(0);
  std::erase_if(table.families[0].points, [](const ScalingPoint& p) { return p.tokens > 1e10; });
  EXPECT_EQ(table.families[0].points.size(), 6u);
  EXPECT_EQ(fault_of(table, {}), Fault::input);  // two numbers of tokens
}

TEST(ScalingAnalysis, PredictsForFlopAndFindsTheCrossing) {
  ScalingOptions options{.bootstrap = {.samples = 100}, .flop = {1e21}};
  const ScalingAnalysis a = analyse(two_families(), options, "t");
  ASSERT_EQ(a.crossings.size(), 1u);
  EXPECT_EQ(a.families[a.crossings[0].overtaking()].name, "new");
  const ScalingLaw old_law{LawKind::chinchilla, {480, 2100, 1.80, 0.35, 0.37}},
      new_law{LawKind::chinchilla, {2500, 2600, 1.62, 0.42, 0.37}};
  const double crossing = overtaking_flop(new_law, old_law);
  EXPECT_NEAR(a.crossings[0].crossing.flop / crossing, 1, 1e-2);
  EXPECT_TRUE(a.crossings[0].crossing.determinable());
  const FlopPrediction& p = a.families[0].predictions.at(0);
  EXPECT_NEAR(p.parameters.value / old_law.optimum(1e21).parameters, 1, 1e-3);
  EXPECT_NEAR(p.tokens.value / old_law.optimum(1e21).tokens, 1, 1e-3);
  EXPECT_NEAR(p.loss.value, old_law.loss_of_flop(1e21), 1e-4);
  EXPECT_EQ(a.families[0].values.back().name, std::string("a"));
  EXPECT_NEAR(a.families[0].values.back().estimate.value, 0.37 / 0.72, 1e-3);

  ScalingTable three = two_families();
  three.families.push_back(family_on("third", {480, 2100, 1.9, 0.35, 0.37}));
  EXPECT_EQ(analyse(three, options, "t").crossings.size(), 3u);
}

TEST(ScalingPicture, ShowsPointsCurvesAndTheCrossing) {
  ScalingTable table = two_families();
  table.families[0].name = "it's {x_2}";
  const std::string script = scaling_script(analyse(table, {.bootstrap = {.samples = 100}}, "t"));
  EXPECT_THAT(script, AllOf(HasSubstr("'it''s {x_2}, compute-optimal"), HasSubstr("$points1 using"),
                            HasSubstr("$band1 using 1:2:3 with filledcurves"),
                            HasSubstr("set object rectangle"), HasSubstr("overtakes")));
  table.families.push_back(family_on("third", {480, 2100, 1.9, 0.35, 0.37}));
  const std::string three = scaling_script(analyse(table, {.bootstrap = {.samples = 100}}, "t"));
  std::size_t fields = 0;
  for (std::size_t at = 0; (at = three.find("set object", at)) != three.npos; ++at) ++fields;
  EXPECT_EQ(fields, 2u);  // the first and the third of the families never cross
  table.families.resize(1);
  EXPECT_THAT(scaling_script(analyse(table, {.bootstrap = {.samples = 100}}, "t")),
              AllOf(HasSubstr("linecolor palette"), Not(HasSubstr("set object rectangle"))));
}

constexpr const char* kFigure =
    "family,parameters,tokens,loss\nnew,0.37e9,15e9,2.90\nnew,1.3e9,100e9,2.37\n"
    "new,2.7e9,100e9,2.20\nold,0.37e9,15e9,2.63\nold,1.3e9,100e9,2.15\nold,2.7e9,100e9,2.09\n";

struct Room {
  TemporaryDirectory directory{};

  Outcome fit(std::vector<std::string> args) const {
    args.insert(args.begin(), {sibling_program("tern"), "scaling", "fit"});
    return run({.args = args, .directory = directory.path()});
  }
};

TEST(ScalingCommand, PrintsWritesAndDraws) {
  const Room room;
  write_text(room.directory / "t.csv", kFigure);
  const Outcome o =
      room.fit({"t.csv", "--law", "power", "--error", "0.03", "--samples", "200", "--flop", "1e22",
                "--flop", "1e23", "--json", "t.json", "--picture", "t.png"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, AllOf(HasSubstr("law         power: L = k / C^p"),
                           HasSubstr("200 samples: a uniform error within +-0.03 added"),
                           HasSubstr("at 1e+22 FLOP, beyond the data"), HasSubstr("at 1e+23 FLOP"),
                           HasSubstr("points      3, 3.33e+19 to 1.62e+21 FLOP"),
                           HasSubstr("verdict     not determinable: the data end")));
  const auto json = nlohmann::json::parse(read_text(room.directory / "t.json"));
  EXPECT_EQ(json["law"], "power");
  EXPECT_EQ(json["families"].size(), 2u);
  EXPECT_EQ(json["families"][0]["name"], "new");
  EXPECT_EQ(json["families"][1]["points"].size(), 3u);
  EXPECT_EQ(json["families"][1]["held_out"].size(), 0u);
  EXPECT_NEAR(json["families"][0]["values"]["p"]["value"], 0.06899, 1e-4);
  EXPECT_EQ(json["families"][0]["predictions"][1]["flop"], 1e23);
  EXPECT_EQ(json["crossings"][0]["overtaking"], "new");
  EXPECT_EQ(json["crossings"][0]["determinable"], false);
  EXPECT_NEAR(json["crossings"][0]["flop"].get<double>() / 6.07e24, 1, 1e-2);
  EXPECT_TRUE(read_text(room.directory / "t.png").starts_with("\x89PNG"));
}

// Lines that are parallel within the reading error: the pairs do not cross, or far beyond the
// search.
TEST(ScalingReport, FarCrossingsInTextAndJson) {
  ScalingTable table;
  table.families = {{"a", {{1e8, 1e9, 3}, {1e9, 1e10, 2.8}, {1e10, 1e11, 2.6}}},
                    {"b", {{1e8, 1e9, 2.5}, {1e9, 1e10, 2.3}, {1e10, 1e11, 2.1}}}};
  const ScalingOptions options{.law = LawKind::linear,
                               .bootstrap = {.samples = 100, .error = 0.01}};
  const ScalingAnalysis a = analyse(table, options, "t");
  EXPECT_THAT(scaling_report(a), AllOf(HasSubstr("beyond 1e+40 FLOP\n"),
                                       HasSubstr("has the lower loss from 1 to 1e+40 FLOP")));
  const auto json = scaling_json(a)["crossings"][0];
  EXPECT_EQ(json["flop"], "beyond");
  EXPECT_EQ(json["interval"][1], "beyond");
  EXPECT_EQ(json["determinable"], false);
}

TEST(ScalingReport, FamiliesWithTooFewPointsAreNamedAndLeftOut) {
  ScalingTable table;
  table.families = {{"short", {{1e8, 1e9, 3}}},
                    {"a", {{1e8, 1e9, 3}, {1e9, 1e10, 2.8}, {1e10, 1e11, 2.6}}},
                    {"b", {{1e8, 1e9, 2.5}, {1e9, 1e10, 2.4}, {1e10, 1e11, 2.3}}}};
  const ScalingOptions options{.law = LawKind::linear,
                               .bootstrap = {.samples = 100, .error = 0.01}};
  const ScalingAnalysis a = analyse(table, options, "t");
  ASSERT_EQ(a.families.size(), 2u);
  EXPECT_EQ(a.crossings.size(), 1u);
  EXPECT_THAT(scaling_report(a), HasSubstr("short\n  left out    expected at least 2 points"));
  EXPECT_EQ(scaling_json(a)["left_out"][0]["name"], "short");
  table.families.resize(1);
  EXPECT_EQ(complaint([&] { analyse(table, options, "t"); }),
            "t: family 'short': expected at least 2 points for this law, got 1");
}

// the same table, other threads
TEST(ScalingCommand, ThreadsDoNotChangeAByte) {
  const Room room;
  write_text(room.directory / "t.csv", kFigure);
  std::string outputs[2];
  for (const int threads : {1, 3})
    outputs[threads / 2] = run({.args = {sibling_program("tern"), "scaling", "fit", "t.csv",
                                         "--law", "linear", "--error", "0.03"},
                                .env = {{"OMP_NUM_THREADS", std::to_string(threads)}},
                                .directory = room.directory.path()})
                               .out;
  EXPECT_THAT(outputs[0], HasSubstr("1.33e+23"));
  EXPECT_EQ(outputs[0], outputs[1]);
}

TEST(ScalingCommand, MistakesInOneLine) {
  const Room room;
  write_text(room.directory / "t.csv", kFigure);
  write_text(room.directory / "bad.csv", "parameters,tokens,loss\n1e8,2e9,-3\n");
  const auto refused = [&](const std::vector<std::string>& args, int code, const char* text) {
    const Outcome o = room.fit(args);
    EXPECT_EQ(o.exit_code, code) << o.err;
    EXPECT_EQ(o.out, "");
    EXPECT_THAT(o.err, HasSubstr(text));
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
  };
  refused({"bad.csv"}, 3, "bad.csv:2: column 'loss': expected a number above 0, got '-3'");
  refused({"none.csv"}, 3, "none.csv");
  refused({"t.csv"}, 3, "t.csv: family 'new': expected at least 6 points for this law, got 3");
  refused({"t.csv", "--law", "power"}, 2, "expected --error X");
  refused({"t.csv", "--law", "power", "--error", "0.1", "--hold-out", "2"}, 2,
          "--hold-out: expected to leave points");
  refused({"t.csv", "--flop", "many"}, 2, "--flop: expected a number, got 'many'");
  refused({"t.csv", "--flop", "-1"}, 2, "--flop: expected a number from 1 to 1e+40, got -1");
  refused({"t.csv", "--law", "cubic"}, 2, "expected one of chinchilla, linear, power");
  refused({"t.csv", "--error", "0"}, 2, "--error: expected");
  refused({"t.csv", "--json", "no/such/t.json"}, 6, "no/such");
}

}  // namespace
}  // namespace tern
