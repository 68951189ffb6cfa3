// tern report: what is on the page, that hostile text stays text, and that parts which a run lacks
// leave no broken chart.
#include "apps/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <regex>

#include "apps/report/axis.h"
#include "apps/report/chart.h"
#include "apps/report/heat_map.h"
#include "apps/report/html.h"
#include "apps/report/tables.h"
#include "apps/run/run_record.h"
#include "tests/apps/tiny_run.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++n;
  return n;
}

// for texts that are too long for the message of a failure
bool has(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const std::size_t from = text.find(begin);
  if (from == text.npos) return "";
  return text.substr(from + begin.size(), text.find(end, from) - from - begin.size());
}

// what the script of the page reads
nlohmann::json data_of(const std::string& page) {
  return nlohmann::json::parse(
      between(page, "<script type=\"application/json\" id=\"data\">", "</script>"), nullptr, false);
}

// the part of the page under a heading
std::string part_of(const std::string& page, const std::string& heading) {
  return between(page, "<h2>" + heading + "</h2>", "</section>");
}

SavedRun steps_run(const std::string& name, int steps) {
  SavedRun run{.name = name, .config_problem = "none"};
  for (int i = 1; i <= steps; ++i) {
    run.history.steps.push_back({{.step = i,
                                  .tokens = 1000 * i,
                                  .loss = 3 + 5.0 / i,
                                  .learning_rate = 1e-3,
                                  .gradient_norm = 0.5},
                                 100.0 + i,
                                 2.0 * i});
    if (i % 10 == 0)
      run.history.validations.push_back(
          {{.step = i, .tokens = 1000 * i, .loss = 3.1 + 5.0 / i}, 100.0 + i, 2.0 * i});
  }
  return run;
}

constexpr const char* kHostile[] = {
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "\" onload=\"alert(1)",
    "' x='",
    "\xE2\x80\xA8\xE2\x80\xA9",
    "&lt;b&gt;",
    "\xFF\x01\x1b[2J",
    "]]>",
};

TEST(ReportPage, TextForThePageAndForItsScript) {
  EXPECT_EQ(html_text("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
  EXPECT_EQ(html_text("\xFF"), "\\xff");
  for (const char* text : kHostile) {
    const std::string json = script_string(text);
    EXPECT_EQ(json.find_first_of("<>&"), json.npos) << json;
    EXPECT_THAT(json, Not(HasSubstr("\xE2\x80"))) << json;
  }
  const std::string name = "</script>\xE2\x80\xA8\"\\";
  EXPECT_EQ(nlohmann::json::parse(script_string(name)).get<std::string>(), name);
}

TEST(ReportPage, HostileTextStaysText) {
  std::vector<SavedRun> runs;
  const std::size_t elements =
      count_of(report_html(std::vector{steps_run("x", 20)}, ""), "<script");
  for (const char* text : kHostile) {
    SavedRun run = steps_run(text, 20);
    run.config_problem = run.environment = text;
    run.history.validations.back().report.sources = {{text, 3}, {std::string(text) + "2", 4}};
    run.history.samples.push_back({{.step = 10, .prompt = text, .text = text}});
    run.history.samples.push_back({{.step = 20, .prompt = text, .text = text}});
    run.history.events.push_back({{.step = 5, .kind = text, .text = text}});
    run.history.diagnostics.push_back({{.step = 5, .layers = {{.name = text, .flip_rate = 0.1}}}});
    runs.push_back(run);
  }
  const std::string page = report_html(runs, kHostile[0]);
  EXPECT_EQ(count_of(page, "<script"), elements);
  EXPECT_EQ(count_of(page, "</script"), elements);
  const std::string shown = page.substr(0, page.find("id=\"data\""));
  for (const char* bad : {"<!--", "<img src=x", "\" onload", "' x='", "\xFF", "\x1b"})
    EXPECT_FALSE(has(shown, bad)) << bad;
  const nlohmann::json data = data_of(page);
  ASSERT_TRUE(data.is_object());
  EXPECT_EQ(data["runs"][0]["name"], kHostile[0]);
  EXPECT_EQ(data["runs"][1]["name"], kHostile[1]);
}

TEST(ReportPage, NeedsNothingFromOutside) {
  const std::string page = report_html(std::vector{steps_run("a", 20)}, "");
  EXPECT_TRUE(has(page, "default-src 'none'"));
  for (const char* outside : {"http://", "https://", "<link", "@import", "url(//"})
    EXPECT_FALSE(has(page, outside)) << outside;
}

TEST(ReportPage, TableOfRuns) {
  SavedRun run = steps_run("a", 40);
  run.config = RunConfig();
  run.config->model.width = 64;
  run.config->model.layers = 2;
  run.state = RunState::failed;
  run.history.steps.back().report.skipped = 3;
  run.history.steps[0].report.tokens_per_second = 5000;
  run.history.validations[0].report.loss = 2.5;
  run.history.validations[0].report.bits_per_byte = 1.25;
  const std::string row = between(runs_table(std::vector{run}), "<tbody>", "</tbody>");
  EXPECT_THAT(row, AllOf(HasSubstr(">failed<"), HasSubstr(">40</td>"), HasSubstr(">40k</td>"),
                         HasSubstr(">1m20s</td>"), HasSubstr(">5000</td>"), HasSubstr(">3</td>")));
  EXPECT_THAT(row, HasSubstr("3.2250</td><td data-value=\"\">–</td><td data-value=\"2.5\">2.5000"
                             "</td><td data-value=\"1.25\">1.2500</td>"));
  EXPECT_GT(run.flop_per_token(), 0);
  EXPECT_THAT(row, HasSubstr(">" + short_number(run.flop_per_token() * 40000) + "</td>"));
}

TEST(ReportPage, EveryChartHasACurveAndWhatIsMissingIsSaid) {
  SavedRun empty{.name = "empty", .config_problem = "no such file"}, odd = steps_run("odd", 3);
  odd.history.steps[0].report.gradient_norm = 0;  // not on a logarithmic axis
  odd.history.steps[1].report.loss = 1e300;
  odd.history.steps[2].report.loss = -1e300;
  odd.history.unreadable = 7;
  SavedRun one = steps_run("one", 1), still = steps_run("still", 30);
  for (auto& step : still.history.steps) step.report.gradient_norm = 0;
  const std::vector<std::vector<SavedRun>> pages = {
      {empty}, {odd}, {one}, {empty, odd, one, still, steps_run("good", 30)}};
  for (const auto& runs : pages) {
    const std::string page = report_html(runs, "");
    const std::string drawn =
        page.substr(page.find("<main>"), page.find("id=\"data\"") - page.find("<main>"));
    for (const char* broken : {"nan", "inf ", "inf\"", "d=\"\""})
      EXPECT_FALSE(has(drawn, broken)) << broken;
    EXPECT_EQ(data_of(page)["charts"].size(), count_of(page, "<figure class=\"chart"));
    EXPECT_THAT(part_of(page, "GPU"), HasSubstr("No run has recorded figures of a GPU."));
    EXPECT_THAT(part_of(page, "Samples"), HasSubstr("No run has written samples."));
    EXPECT_THAT(part_of(page, "Environment"), HasSubstr("No run has an env.json."));
  }
  const std::string page = report_html(pages[0], "");
  EXPECT_THAT(part_of(page, "Loss"), HasSubstr("No run has recorded a loss."));
  EXPECT_THAT(part_of(page, "Run"), HasSubstr("no steps and no validation recorded"));
  EXPECT_THAT(part_of(page, "Run"), HasSubstr("cannot be read: no such file"));
  EXPECT_EQ(page.find("<figure"), page.npos);
  EXPECT_THAT(part_of(report_html(pages[1], ""), "Run"), HasSubstr("7 lines"));
  EXPECT_TRUE(
      has(part_of(report_html(pages[1], ""), "Loss"), ">8.0</text>"));  // the one it can show
}

TEST(ReportPage, LongAndManyRunsStaySmall) {
  EXPECT_LT(report_html(std::vector{steps_run("long", 100'000)}, "").size(), 300'000u);
  std::vector<SavedRun> many;
  for (int i = 0; i < 60; ++i) many.push_back(steps_run("run" + std::to_string(i), 3000));
  const std::string page = report_html(many, "");
  EXPECT_LT(page.size(), 5'000'000u);
  for (const auto& chart : data_of(page)["charts"])
    for (const auto& series : chart["series"]) {
      EXPECT_LE(series["values"].size(), 402u);
      EXPECT_EQ(series["values"].size(), series["steps"].size());
      EXPECT_EQ(series["steps"].back(), 3000);
    }
}

TEST(ReportPage, ThinnedCurvesKeepExtremes) {
  ChartPoints points;
  for (int i = 0; i < 10'000; ++i) points.push_back({double(i), std::sin(0.001 * i)});
  points[9990].value = 5;
  points[9991].value = -5;
  points[4321].value = 9;
  points[7654].value = -9;
  const ChartPoints few = thinned(points, 100);
  EXPECT_LE(few.size(), 102u);
  EXPECT_TRUE(std::ranges::is_sorted(few, std::ranges::less_equal(), &ChartPoint::step));
  EXPECT_EQ(few.front().step, 0);
  EXPECT_EQ(few.back().step, 9999);
  EXPECT_EQ(std::ranges::max(few, {}, &ChartPoint::value).step, 4321);
  EXPECT_EQ(std::ranges::min(few, {}, &ChartPoint::value).step, 7654);
}

std::vector<std::string> labels(const ChartAxis& axis, int count = 4) {
  std::vector<std::string> out;
  for (const AxisMark& m : axis.marks(count)) out.push_back(m.label);
  return out;
}

TEST(ReportPage, MarksOfAxes) {
  EXPECT_THAT(labels({0, 38e6}), ElementsAre("0", "10M", "20M", "30M"));
  EXPECT_THAT(labels({3.4, 5.1}), ElementsAre("3.5", "4.0", "4.5", "5.0"));
  EXPECT_THAT(labels({0, 4e-3}), ElementsAre("0", "1e-3", "2e-3", "3e-3", "4e-3"));
  EXPECT_THAT(labels({0, 1.7e3}), ElementsAre("0", "500", "1000", "1500"));
  EXPECT_THAT(labels({8e-5, 0.02, true}), ElementsAre("1e-4", "3e-4", "1e-3", "3e-3", "0.01"));
  EXPECT_THAT(labels({1, 1e6, true}), ElementsAre("1", "10", "100", "1000", "10k", "100k", "1M"));
  EXPECT_THAT(labels({0.9, 11, true}), ElementsAre("1", "2", "5", "10"));
  EXPECT_EQ(short_number(0.00012345), "1.23e-4");
  EXPECT_EQ(short_number(77.8e15), "77.8P");
  EXPECT_EQ((ChartAxis{1, 100, true}.share(10)), 0.5);
}

TEST(ReportPage, TheFirstFallOfALossIsLeftOut) {
  SavedRun run = steps_run("a", 100);
  run.history.steps[0].report.loss = 50;
  const std::string svg =
      between(part_of(report_html(std::vector{run}, ""), "Loss"), "<svg", "</svg>");
  EXPECT_THAT(svg, HasSubstr(">4.0</text>"));
  EXPECT_THAT(svg, Not(HasSubstr(">5.0</text>")));
}

TEST(ReportPage, XAxesOfARun) {
  const RunClock clock{{10, 20, 40}, {100, 200, 600}, {1, 2, 3}};
  EXPECT_EQ(clock.tokens_at(15), 150);
  EXPECT_EQ(clock.tokens_at(30), 400);
  EXPECT_EQ(clock.tokens_at(40), 600);
  EXPECT_EQ(clock.tokens_at(5), 100);
}

TEST(ReportPage, EventsAreMarked) {
  SavedRun run = steps_run("a", 20);
  for (const char* kind : {"start", "skip", "start", "rewind", "finish"})
    run.history.events.push_back(
        {{.step = 7, .kind = kind, .text = std::string("text of ") + kind}});
  const std::string page = report_html(std::vector{run}, "");
  EXPECT_EQ(count_of(part_of(page, "Loss"), "class=\"event\""), 3u);
  EXPECT_THAT(part_of(page, "Events"),
              AllOf(HasSubstr("(3)"), HasSubstr("text of rewind"), HasSubstr(">resume<"),
                    Not(HasSubstr("text of finish"))));
}

LayerDiagnostics matrix(const std::string& name, double flips) {
  return {.name = name, .flip_rate = flips};
}

TEST(ReportPage, HeatMapsGroupMatricesByKindInTheirOrder) {
  Records<DiagnosticsReport> reports;
  reports.push_back(
      {{.step = 1,
        .layers = {matrix("m.layers.0.attn.q_proj", 1), matrix("m.layers.0.mlp.up_proj", 1),
                   matrix("m.layers.1.attn.q_proj", 1), matrix("m.layers.1.mlp.up_proj", 1),
                   matrix("lm_head", 1)}}});
  const auto groups = matrix_groups(reports);
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].kind, "q_proj");
  EXPECT_THAT(groups[0].names, ElementsAre("m.layers.0.attn.q_proj", "m.layers.1.attn.q_proj"));
  EXPECT_THAT(groups[0].layers, ElementsAre("0", "1"));
  EXPECT_EQ(groups[2].kind, "lm_head");
  reports[0].report.layers.push_back(matrix("m.layers.0.other.q_proj", 1));
  EXPECT_EQ(matrix_groups(reports)[0].kind, "attn.q_proj");  // else two would be called the same
}

TEST(ReportPage, ColourScales) {
  SavedRun run;
  run.history.diagnostics.push_back(
      {{.step = 1, .layers = {matrix("a", 1e-4), matrix("b", 1e-2), matrix("c", kUnknown)}}});
  const DiagnosticsValue& flips = kDiagnosticsValues[0];
  const auto far = colour_scale({&run, 1}, flips);
  ASSERT_TRUE(far.has_value());
  EXPECT_TRUE(far->log);
  EXPECT_EQ(far->index(1e-4), 1);
  EXPECT_EQ(far->index(1e-3), 128);
  EXPECT_EQ(far->index(1e-2), 255);
  EXPECT_EQ(far->index(0), 1);
  EXPECT_EQ(far->index(kUnknown), 0);
  run.history.diagnostics[0].report.layers = {matrix("a", 0.2), matrix("b", 0.4)};
  EXPECT_FALSE(colour_scale({&run, 1}, flips)->log);
  EXPECT_FALSE(colour_scale({&run, 1}, kDiagnosticsValues[1]).has_value());
}

TEST(ReportPage, PicturesOfHeatMaps) {
  const std::uint8_t pixels[] = {0, 1, 255, 128};
  const std::string png = palette_png(2, 2, pixels);
  EXPECT_TRUE(png.starts_with("\x89PNG\r\n\x1a\n"));
  const std::string rows("\0\0\1\0\xff\x80", 6), end("IEND\xae\x42\x60\x82", 8);
  EXPECT_THAT(png, HasSubstr(rows));
  EXPECT_TRUE(png.ends_with(end));  // the CRC that every PNG ends with
  // Adler: a = 1 + 1 + 255 + 128, b the sum of a after each byte
  EXPECT_THAT(png, HasSubstr(rows + std::string("\x02\x88\x01\x81", 4)));
  const std::vector<std::uint8_t> many(70'000, 7);  // more than a block of deflate
  const std::string data("\0\1\x11\x81IDAT", 8);    // 2 + 2 blocks of 5 + 70001 + 4 bytes
  EXPECT_TRUE(has(palette_png(70'000, 1, many), data));
}

TEST(ReportPage, ConfigsDifferOnlyWhereTheyDo) {
  SavedRun a{.name = "a", .config = RunConfig()}, b{.name = "b", .config = RunConfig()}, c = b;
  b.config->optimizer.lr = 0.125;
  b.config->run.name = "other";
  b.config->run.directory = "/elsewhere";
  const std::string same = configs_html(std::vector{a, c});
  const TemporaryDirectory d;
  a.path = b.path = d.path();
  write_text(d / "config.resolved.toml", "x = 1 # <why>\n");
  const std::string html = configs_html(std::vector{a, b});
  EXPECT_EQ(count_of(between(html, "<table", "</table>"), "<tr>"), 2u) << html;
  EXPECT_THAT(
      html, AllOf(HasSubstr("optimizer.lr"), HasSubstr(">0.125<"), HasSubstr("x = 1 # &lt;why&gt;"),
                  Not(HasSubstr("run.name")), Not(HasSubstr("elsewhere"))));
  EXPECT_THAT(configs_html(std::vector{a, a}), HasSubstr("All keys have the same values"));
}

TEST(ReportPage, EnvironmentsAndSamples) {
  SavedRun run = steps_run("a", 3);
  run.environment = R"({"cpu":"Z80","memory_bytes":2147483648,"command":["tern","train","a b"],)"
                    R"("git":null,"libraries":{"fmt":"9"}})";
  EXPECT_THAT(environments_html({&run, 1}),
              AllOf(HasSubstr("Z80"), HasSubstr("2.0 GiB"), HasSubstr("tern train &#39;a b&#39;"),
                    HasSubstr("fmt 9"), Not(HasSubstr("git"))));
  run.environment = "{damaged";
  EXPECT_THAT(environments_html({&run, 1}), HasSubstr("<pre>{damaged</pre>"));
  for (const int step : {1, 2, 2, 3, 3})
    run.history.samples.push_back({{.step = step, .text = "text" + std::to_string(step)}});
  const std::string html = samples_html({&run, 1});
  EXPECT_THAT(html, HasSubstr("3 earlier samples"));
  EXPECT_LT(html.find("text3"), html.find("text1"));
  EXPECT_EQ(count_of(html, "text2"), 2u);
}

Outcome report(std::vector<std::string> args) {
  args.insert(args.begin(), {sibling_program("tern"), "report"});
  return run({.args = args});
}

TEST(ReportPage, CommandWritesAPageAboutRealRuns) {
  const test::TinyRun tiny;
  const std::vector<std::string> measured = {"logging.diagnostics_interval=10"};
  ASSERT_EQ(run(tiny.command("good", measured)).exit_code, 0);
  const Command longer = tiny.command("cut", {"run.steps=1000", measured[0]});
  Process cut(longer);
  ASSERT_TRUE(cut.wait_for(" 20/1000"));
  cut.send(SIGTERM);
  ASSERT_EQ(cut.wait().exit_code, 75);
  ASSERT_EQ(run(longer).exit_code, 0);
  const std::string out = tiny.room() / "page.html";
  const Outcome outcome = report({tiny.room().string(), "--out", out, "--title", "A & B"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, out + "\n");
  const std::string page = read_text(out);
  EXPECT_TRUE(has(page, "<h1>A &amp; B</h1>"));
  const nlohmann::json data = data_of(page);
  ASSERT_EQ(data["runs"].size(), 2u);
  EXPECT_EQ(data["runs"][0]["name"], "cut");
  EXPECT_GT(data["runs"][0]["flop"], 0);
  EXPECT_EQ(data["charts"][0]["events"].size(), 2u);  // it stopped, and was resumed
  EXPECT_EQ(count_of(part_of(page, "Ternary weights"), "<figure class=\"heat\""), 8u);
  EXPECT_THAT(part_of(page, "Samples"), HasSubstr("<b>ROMEO:</b>"));
  EXPECT_THAT(part_of(page, "Configurations"), HasSubstr("run.steps"));
  EXPECT_THAT(part_of(page, "Environment"), HasSubstr("run.name=good"));
}

TEST(ReportPage, BadInputIsOneLineAndLeavesNoPage) {
  const TemporaryDirectory d;
  fs::create_directories(d / "empty");
  fs::create_directories(d / "run");
  write_text(d / "run/metrics.jsonl", "");
  for (const char* name : {"empty", "gone"}) {
    const Outcome outcome = report({d / name, "--out", d / "page.html"});
    EXPECT_EQ(outcome.exit_code, 3);
    EXPECT_EQ(count_of(outcome.err, "\n"), 1u) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(d / name));
  }
  EXPECT_FALSE(fs::exists(d / "page.html"));
  EXPECT_EQ(report({}).exit_code, 2);
  EXPECT_EQ(report({d / "run", "--out", d / "gone/page.html"}).exit_code, 6);
  EXPECT_EQ(report({d / "run", "--out", d / "empty"}).exit_code, 6);
  EXPECT_EQ(report({d / "run", "--out", d / "page.html"}).exit_code, 0);
}

TEST(ReportPage, RunsOfTheSameNameAreToldApart) {
  const TemporaryDirectory d;
  for (const char* run : {"a/x", "b/x", "b/y"}) {
    fs::create_directories(d.path() / run);
    write_text(d.path() / run / "metrics.jsonl", "");
  }
  write_report({d.path()}, d / "page.html");
  const nlohmann::json data = data_of(read_text(d / "page.html"));
  EXPECT_EQ(data["runs"][0]["name"], d / "a/x");
  EXPECT_EQ(data["runs"][1]["name"], d / "b/x");
  EXPECT_EQ(data["runs"][2]["name"], "y");
}

}  // namespace
}  // namespace tern
