// The points of a scaling law: CSV tables, good and bad.
#include <gtest/gtest.h>

#include "apps/scaling/runs_table.h"
#include "tests/support/complaint.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

TEST(ScalingTable, ColumnsInAnyOrderOthersIgnored) {
  const ScalingTable t =
      parse_table("loss,name,tokens,parameters\n2.5,a,2e9,1e8\n+2.25,b,4000000000,1.5e8\n", "t");
  ASSERT_EQ(t.families.size(), 1u);
  EXPECT_EQ(t.families[0].name, "");
  const auto& points = t.families[0].points;
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0].parameters, 1e8);
  EXPECT_EQ(points[1].tokens, 4e9);
  EXPECT_EQ(points[1].loss, 2.25);
  EXPECT_EQ(points[0].flop(), 1.2e18);
}

TEST(ScalingTable, FamiliesInTheOrderOfTheirFirstPoints) {
  const ScalingTable t =
      parse_table("family,parameters,tokens,loss\nz,1,1,3\na,1,1,2\nz,2,1,1\n", "t");
  ASSERT_EQ(t.families.size(), 2u);
  EXPECT_EQ(t.families[0].name, "z");
  EXPECT_EQ(t.families[0].points.size(), 2u);
  EXPECT_EQ(t.families[1].name, "a");
}

TEST(ScalingTable, FormsOfCsv) {
  const ScalingTable t = parse_table(
      "\xEF\xBB\xBF# source\r\n"
      "\"parameters\",\"tokens\", loss ,\"family\"\r\n"
      "\r\n"
      "\"1e8\", 2e9 ,3,\"a \"\"b\"\", c\"\r\n"
      "# between\r\n"
      "1e8,2e9,2,\"two\nlines\"",
      "t");
  ASSERT_EQ(t.families.size(), 2u);
  EXPECT_EQ(t.families[0].name, "a \"b\", c");
  EXPECT_EQ(t.families[0].points[0].loss, 3);
  EXPECT_EQ(t.families[1].name, "two\nlines");
}

TEST(ScalingTable, MistakesAreNamedWithTheirPlace) {
  const auto problem = [](const std::string& text) {
    return complaint([&] { parse_table(text, "t.csv"); });
  };
  EXPECT_EQ(problem(""),
            "t.csv: expected a line with the columns parameters, tokens and loss, got an empty "
            "file");
  EXPECT_EQ(problem("parameters,loss\n1,2\n"),
            "t.csv:1: expected a column 'tokens', got the columns parameters, loss");
  EXPECT_EQ(problem("parameters,tokens,loss,tokens\n"),
            "t.csv:1: expected one column 'tokens', got several");
  EXPECT_EQ(problem("parameters,tokens,loss\n"),
            "t.csv: expected lines of numbers below the names of the columns, got none");
  EXPECT_EQ(problem("parameters,tokens,loss\n1,2\n"),
            "t.csv:2: expected 3 fields, as in the first line, got 2");
  EXPECT_EQ(problem("parameters,tokens,loss\n1,\"2\"x,3\n"),
            "t.csv:2: expected a comma or the end of the line after a quoted field, got 'x'");
  EXPECT_EQ(problem("parameters,tokens,loss\n1,2,\"3\n"),
            "t.csv:2: expected a closing quote (\"), got the end of the file");
  EXPECT_EQ(problem("parameters,tokens,loss,family\n1,2,3,\"two\nlines\"\n1,2\n"),
            "t.csv:4: expected 4 fields, as in the first line, got 2");
  EXPECT_EQ(problem("parameters,tokens,loss,family\n1,2,3,\n"),
            "t.csv:2: column 'family': expected a name, got nothing");
  for (const char* bad : {"", "x", "0", "-1", "nan", "inf", "1e999", "1,5", "0x10", "2 GB", "+-1"})
    EXPECT_EQ(
        problem("parameters,tokens,loss\n1,1,1\n1,\"" + std::string(bad) + "\",1\n"),
        "t.csv:3: column 'tokens': expected a number above 0, got '" + std::string(bad) + "'");
  for (const char* far : {"1e-101", "1e101"})
    EXPECT_EQ(problem("parameters,tokens,loss\n" + std::string(far) + ",1,1\n"),
              "t.csv:2: column 'parameters': expected a number from 1e-100 to 1e+100, got " +
                  std::string(far));
}

TEST(ScalingTable, OfRunsTheBestMeanOverSeedsOfEachFamilySizeAndLengthCounts) {
  const auto row = [](const char* family, double n, std::int64_t tokens, double loss,
                      const char* rate = "1e-3", const char* seed = "1") {
    return RunRow{.state = RunState::finished,
                  .tokens = tokens,
                  .gemm_parameters = n,
                  .family = family,
                  .val_loss = loss,
                  .settings = {{"optimizer.lr", rate}, {"run.seed", seed}}};
  };
  std::vector<RunRow> rows = {row("b", 10, 100, 5),
                              row("a", 10, 200, 3),
                              row("a", 10, 100, 4, "1e-3", "1"),
                              row("a", 10, 100, 4.5, "1e-3", "2"),
                              row("a", 10, 100, 3, "2e-3", "1"),  // the lowest of all, by its seed
                              row("a", 10, 100, 6, "2e-3", "2"),
                              row("a", 20, 100, kUnknown),
                              row("", 1, 1, 1)};
  rows.push_back(row("a", 30, 100, 1));
  rows.back().state = RunState::stopped;
  const ScalingTable table = table_of_runs(rows, "x");
  ASSERT_EQ(table.families.size(), 2u);
  EXPECT_EQ(table.families[0].name, "a");
  ASSERT_EQ(table.families[0].points.size(), 2u);
  EXPECT_EQ(table.families[0].points[0].loss, 4.25);
  EXPECT_EQ(table.families[0].points[1].tokens, 200);
  EXPECT_EQ(table.families[1].points.size(), 1u);
  EXPECT_EQ(complaint([&] { table_of_runs({rows.back()}, "x"); }),
            "x: expected finished runs with a validation loss, got none");
}

TEST(ScalingTable, MissingFileIsAnInputError) {
  const TemporaryDirectory d;
  try {
    read_table(d / "none.csv");
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::input);
  }
  write_text(d / "t.csv", "parameters,tokens,loss\n1,2,x\n");
  EXPECT_EQ(complaint([&] { read_table(d / "t.csv"); }),
            (d / "t.csv") + ":2: column 'loss': expected a number above 0, got 'x'");
}

}  // namespace
}  // namespace tern
