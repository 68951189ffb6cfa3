// Configurations and environments of the runs in a report.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/config/resolved.h"
#include "apps/console/terminal.h"
#include "apps/report/chart.h"
#include "apps/report/html.h"
#include "apps/report/tables.h"
#include "data/io/files.h"

namespace tern {
namespace {

using Json = nlohmann::ordered_json;
using Runs = std::span<const SavedRun>;
using Table = std::vector<std::vector<std::string>>;  // rows of HTML; the first: headings

// Keys that say what a run is and not where it is.
bool says_what(const Difference& d) {
  return !d.path && d.key != "run.name" && d.key != "run.directory";
}

std::string table_html(const Table& table) {
  std::string html = "<div class=\"scroll\"><table class=\"values\">";
  for (std::size_t row = 0; row < table.size(); ++row) {
    html += "<tr>";
    for (std::size_t column = 0; column < table[row].size(); ++column) {
      const char* kind = row == 0 || column == 0 ? "th" : "td";
      html += fmt::format("<{0} class=\"text\">{1}</{0}>", kind, table[row][column]);
    }
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

Table transposed(const Table& table) {
  Table out(table.front().size());
  for (const auto& row : table)
    for (std::size_t i = 0; i < row.size(); ++i) out[i].push_back(row[i]);
  return out;
}

std::string differences_html(Runs runs) {
  std::vector<const SavedRun*> known;
  for (const SavedRun& run : runs)
    if (run.config) known.push_back(&run);
  if (known.size() < 2) return "";
  std::vector<const RunConfig*> configs;
  for (const SavedRun* run : known) configs.push_back(&*run->config);
  const DifferingKeys found = differing_keys(configs, says_what);
  if (found.keys.empty()) return note("All keys have the same values, paths left out.");
  Table table = {{"key"}};
  for (const SavedRun* run : known)
    table[0].push_back(run_line(std::size_t(run - runs.data())) + "<bdi>" + html_text(run->name) +
                       "</bdi>");
  for (std::size_t k = 0; k < found.keys.size(); ++k) {
    auto& row = table.emplace_back(std::vector{html_text(found.keys[k])});
    for (const auto& values : found.values)
      row.push_back(values[k].empty() ? "–" : html_text(values[k]));
  }
  const bool tall = known.size() > found.keys.size() && known.size() > 4;  // a row for each run
  if (tall) table[0][0] = "run";
  return table_html(tall ? transposed(table) : table);
}

std::string config_text(const SavedRun& run) {
  constexpr std::uint64_t kLongest = 1 << 20;
  try {
    return read_file(run.path / "config.resolved.toml", kLongest);
  } catch (const Error&) {
    return "";  // a note by the table of runs says why
  }
}

// one value of env.json on a line
std::string value_text(const std::string& name, const Json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (name == "memory_bytes" && value.is_number())
    return fmt::format("{:.1f} GiB", value.get<double>() / (1 << 30));
  std::vector<std::string> parts;
  if (value.is_array() || value.is_object())
    for (const auto& [key, part] : value.items())
      parts.push_back((value.is_object() ? key + " " : "") + value_text("", part));
  if (name == "command") return shell_command(parts);
  if (value.is_structured()) return fmt::format("{}", fmt::join(parts, ", "));
  return value.dump();
}

std::string environment_html(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object())
    return note("env.json is not understood:") + "<pre>" + html_text(text) + "</pre>";
  std::string rows;
  for (const auto& [name, value] : json.items()) {
    std::string label = name == "memory_bytes" ? "memory" : name;
    if (const std::string shown = value_text(name, value); !shown.empty())
      rows += fmt::format("<tr><th class=\"text\">{}</th><td class=\"text long\">{}</td></tr>\n",
                          html_text(label), html_text(shown));
  }
  return "<div class=\"scroll\"><table class=\"values\">" + rows + "</table></div>";
}

}  // namespace

std::string configs_html(Runs runs) {
  std::string html = differences_html(runs), files;
  for (std::size_t i = 0; i < runs.size(); ++i)
    if (const std::string text = config_text(runs[i]); !text.empty())
      files += folded(i, runs[i].name, false, "<pre>" + html_text(text) + "</pre>");
  if (files.empty()) return note("No run has a config.resolved.toml.");
  return html + "<h3>Every key</h3>\n" + files;
}

std::string environments_html(Runs runs) {
  std::string html;
  for (std::size_t i = 0; i < runs.size(); ++i)
    if (!runs[i].environment.empty())
      html += folded(i, runs[i].name, false, environment_html(runs[i].environment));
  return html.empty() ? note("No run has an env.json.") : html;
}

}  // namespace tern
