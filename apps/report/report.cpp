#include "apps/report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <map>

#include "apps/report/heat_map.h"
#include "apps/report/html.h"
#include "apps/report/run_charts.h"
#include "apps/report/tables.h"
#include "apps/system/environment.h"
#include "data/io/files.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using Runs = std::span<const SavedRun>;

constexpr std::size_t kManyRuns = 12;  // then lines are thinner

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  char text[64] = "";
  if (localtime_r(&now, &local)) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M %Z", &local);
  return text;
}

// Names from folders; longer where several are the same.
void name_apart(std::vector<SavedRun>& runs) {
  std::map<std::string, int> count;
  for (const SavedRun& run : runs) ++count[run.name];
  for (SavedRun& run : runs)
    if (count[run.name] > 1) run.name = run.path.lexically_normal().string();
}

std::string section(const char* id, const std::string& title, const std::string& content) {
  return fmt::format("<section id=\"{}\"><h2>{}</h2>\n{}</section>\n", id, html_text(title),
                     content);
}

std::string legend(Runs runs) {
  std::string html = "<div class=\"legend\">";
  for (std::size_t i = 0; i < runs.size(); ++i)
    html += fmt::format(
        "<label data-run=\"{}\"><input type=\"checkbox\" class=\"js\" checked>{}<bdi>{}</bdi>"
        "</label>",
        i, run_line(i), html_text(runs[i].name));
  if (runs.size() > 2)
    html +=
        "<button type=\"button\" class=\"js\" id=\"all\">all</button>"
        "<button type=\"button\" class=\"js\" id=\"none\">none</button>";
  return html + "</div>";
}

std::string controls(Runs runs) {
  return "<div class=\"bar\"><div class=\"js axes\"><span>over</span>"
         "<button type=\"button\" data-axis=\"tokens\" aria-pressed=\"true\">tokens</button>"
         "<button type=\"button\" data-axis=\"steps\" aria-pressed=\"false\">steps</button>"
         "<button type=\"button\" data-axis=\"flop\" aria-pressed=\"false\">FLOP</button>"
         "<button type=\"button\" data-axis=\"seconds\" aria-pressed=\"false\">time</button>"
         "<button type=\"button\" id=\"logx\" aria-pressed=\"false\">log</button></div>" +
         legend(runs) + "</div>\n";
}

std::string heat_maps(Runs runs) {
  const std::size_t columns = std::clamp<std::size_t>(4800 / runs.size(), 60, 240);
  std::array<std::optional<ColourScale>, kDiagnosticsValues.size()> scales;
  for (std::size_t v = 0; v < scales.size(); ++v)
    scales[v] = colour_scale(runs, kDiagnosticsValues[v]);
  std::string html;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    std::string maps;
    for (std::size_t v = 0; v < scales.size(); ++v)
      if (const auto& value = kDiagnosticsValues[v]; colour_scale(runs.subspan(i, 1), value))
        maps += heat_map_html(runs[i].history.diagnostics, value, *scales[v], columns);
    if (!maps.empty())
      html += folded(i, runs[i].name, html.empty(), "<div class=\"heats\">" + maps + "</div>");
  }
  if (html.empty())
    return note(
        "No run has recorded diagnostics (logging.diagnostics_interval) of ternary weights.");
  return "<p class=\"fine\">A row for each layer, the first on top; a column for each report, by "
         "step. A colour means the same in every run.</p>\n" +
         html;
}

// The charts of all groups, and their data for the script.
struct Charts {
  std::string html{}, json{};
};

Charts charts_of(Runs runs, std::span<const RunClock> clocks) {
  Charts out;
  std::size_t number = 0;
  for (const ChartGroup& group : chart_groups(runs)) {
    if (group.charts.empty() && group.missing.empty()) continue;
    std::string html;
    for (const Chart& chart : group.charts) {
      out.json += (out.json.empty() ? "" : ",\n") + chart_json(chart);
      html += chart_html(chart, number++, clocks);
    }
    out.html += fmt::format(
        "<section><h2>{}</h2>\n{}</section>\n", html_text(group.title),
        html.empty() ? note(group.missing) : "<div class=\"charts\">" + html + "</div>");
  }
  return out;
}

std::string data_json(Runs runs, std::span<const RunClock> clocks, const std::string& charts) {
  std::string json = "{\"palette\":\"" + palette_hex() + "\",\"runs\":[";
  for (std::size_t i = 0; i < runs.size(); ++i)
    json += fmt::format("{}{{\"name\":{},{}}}", i ? ",\n" : "", script_string(runs[i].name),
                        clock_json(clocks[i]));
  return json + "],\"charts\":[" + charts + "]}";
}

std::string default_title(Runs runs) {
  return runs.size() == 1 ? runs[0].name : fmt::format("{} runs", runs.size());
}

}  // namespace

std::string report_html(Runs runs, const std::string& title) {
  std::vector<RunClock> clocks;
  for (const SavedRun& run : runs) clocks.push_back(clock_of(run));
  const Charts charts = charts_of(runs, clocks);
  const std::string heading = html_text(title.empty() ? default_title(runs) : title);
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<meta name=\"color-scheme\" content=\"light dark\">"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
      "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
      "<title>{0}</title>\n<style>{1}</style></head>\n<body{4}><header><h1>{0}</h1>"
      "<p class=\"fine\">{2}, written by {3}</p></header>\n<main>\n",
      heading, kReportStyle, html_text(now_text()), html_text(version_line()),
      runs.size() > kManyRuns ? " class=\"many\"" : "");
  html += section("runs", runs.size() == 1 ? "Run" : "Runs", runs_table(runs));
  html += controls(runs) + charts.html;
  html += section("diagnostics", "Ternary weights", heat_maps(runs));
  html += section("events", "Events", events_html(runs));
  html += section("samples", "Samples", samples_html(runs));
  html +=
      section("configs", runs.size() == 1 ? "Configuration" : "Configurations", configs_html(runs));
  html += section("environments", "Environment", environments_html(runs));
  return html + "</main>\n<script type=\"application/json\" id=\"data\">" +
         data_json(runs, clocks, charts.json) + "</script>\n<script>" + kChartScript +
         "</script>\n<script>" + kPageScript + "</script></body></html>\n";
}

void write_report(const std::vector<fs::path>& paths, const fs::path& out,
                  const std::string& title) {
  const std::vector<fs::path> found = find_runs(paths);
  std::vector<SavedRun> runs;
  for (const fs::path& path : found) runs.push_back(read_run(path));
  name_apart(runs);
  write_file_atomically(out, report_html(runs, title));
}

}  // namespace tern
