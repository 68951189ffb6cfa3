#include "apps/report/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "apps/plan/plan.h"
#include "apps/report/axis.h"
#include "apps/report/html.h"
#include "apps/report/run_charts.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

using Runs = std::span<const SavedRun>;

constexpr std::size_t kMostOpen = 4;  // runs whose parts are open at first

std::string cell(const std::string& text) {
  return "<td>" + text + "</td>";
}

// a number that the script can sort by
std::string number_cell(double value, const std::string& text) {
  if (!std::isfinite(value)) return "<td data-value=\"\">–</td>";
  return fmt::format("<td data-value=\"{:.9g}\">{}</td>", value, text);
}

std::string short_cell(double value) {
  return number_cell(value, short_number(value));
}

std::string loss_cell(double value) {
  return number_cell(value, fmt::format("{:.4f}", value));
}

// the last and the lowest validation loss, with bits per byte
std::string validation_cells(const RunHistory& history) {
  const ValidationReport *last = nullptr, *best = nullptr;
  for (const auto& [report, time, seconds] : history.validations) {
    if (!std::isfinite(report.loss)) continue;
    last = &report;
    if (!best || report.loss < best->loss) best = &report;
  }
  std::string html;
  for (const ValidationReport* report : {last, best}) {
    html += loss_cell(report ? report->loss : kUnknown);
    html += loss_cell(report ? report->bits_per_byte : kUnknown);
  }
  return html;
}

std::string run_row(const SavedRun& run, std::size_t index) {
  const RunHistory& h = run.history;
  const double parameters =
      run.config ? double(count_parameters(run.config->model).total()) : kUnknown;
  std::string row = fmt::format("<tr data-run=\"{}\"><th scope=\"row\">{}<bdi>{}</bdi></th>", index,
                                run_line(index), html_text(run.name));
  row += fmt::format("<td class=\"text\"><span class=\"state {0}\">{0}</span></td>",
                     name_of(run.state));
  const double seconds = h.seconds();
  row += short_cell(parameters) + number_cell(double(run.step()), grouped(run.step())) +
         short_cell(double(run.tokens())) +
         short_cell(run.flop_per_token() * double(run.tokens())) +
         number_cell(seconds, duration_text(seconds)) + short_cell(h.tokens_per_second()) +
         validation_cells(h);
  const std::int64_t skipped = h.steps.empty() ? 0 : h.steps.back().report.skipped;
  return row + number_cell(double(skipped), grouped(skipped)) + "</tr>\n";
}

// what the page cannot show of a run
std::vector<std::string> missing_parts(const SavedRun& run) {
  std::vector<std::string> missing;
  const RunHistory& h = run.history;
  if (h.steps.empty() && h.validations.empty())
    missing.push_back("no steps and no validation recorded");
  else if (h.validations.empty())
    missing.push_back("no validation recorded");
  if (!run.config)
    missing.push_back("no parameters and no FLOP, because the configuration cannot be read: " +
                      run.config_problem);
  if (h.unreadable > 0)
    missing.push_back(fmt::format("{} lines of metrics.jsonl are not understood", h.unreadable));
  return missing;
}

std::string missing_notes(Runs runs) {
  std::string items;
  for (const SavedRun& run : runs)
    for (const std::string& text : missing_parts(run))
      items += fmt::format("<li><bdi>{}</bdi>: {}</li>\n", html_text(run.name), html_text(text));
  return items.empty() ? "" : "<ul class=\"note\">" + items + "</ul>\n";
}

std::string sample_html(const SampleReport& sample) {
  return fmt::format("<pre class=\"sample\"><b>{}</b>{}</pre>\n", html_text(sample.prompt),
                     html_text(sample.text));
}

std::string samples_of(const SavedRun& run) {
  constexpr std::size_t kMostEarlier = 100;
  const auto& samples = run.history.samples;
  const std::int64_t last = samples.back().report.step;
  std::string html = fmt::format("<p class=\"when\">Step {}</p>\n", grouped(last));
  std::string earlier;
  std::int64_t step = -1;
  std::size_t left_out = 0, number = 0;
  for (const auto& [sample, time, seconds] : samples)
    if (sample.step == last) html += sample_html(sample);
  const auto earlier_end =
      std::ranges::find(samples, last, [](const auto& s) { return s.report.step; });
  const std::size_t count = std::size_t(earlier_end - samples.begin());
  for (auto s = samples.begin(); s != earlier_end; ++s) {
    if (++number + kMostEarlier <= count) {
      ++left_out;
      continue;
    }
    if (std::exchange(step, s->report.step) != s->report.step)
      earlier += fmt::format("<p class=\"when\">Step {}</p>\n", grouped(s->report.step));
    earlier += sample_html(s->report);
  }
  if (earlier.empty()) return html;
  if (left_out > 0) earlier = note(fmt::format("{} older ones are left out.", left_out)) + earlier;
  return html + fmt::format("<details><summary>{} earlier samples</summary>{}</details>",
                            count - left_out, earlier);
}

}  // namespace

std::string folded(std::size_t run, const std::string& name, bool open,
                   const std::string& content) {
  return fmt::format(
      "<details class=\"run\" data-run=\"{}\"{}><summary>{}<bdi>{}</bdi></summary>{}</details>\n",
      run, open ? " open" : "", run_line(run), html_text(name), content);
}

std::string runs_table(Runs runs) {
  std::string html = "<div class=\"scroll\"><table class=\"runs\"><thead><tr>";
  constexpr std::array kTall = {"run",    "state", "parameters", "steps",
                                "tokens", "FLOP",  "time",       "tokens/s"};
  int column = 0;
  for (const char* name : kTall) {
    html += fmt::format("<th rowspan=\"2\" data-column=\"{0}\"{2}>{1}</th>", column, name,
                        column < 2 ? " class=\"text\"" : "");
    ++column;
  }
  html +=
      "<th colspan=\"2\">last validation</th><th colspan=\"2\">best validation</th>"
      "<th rowspan=\"2\" data-column=\"12\">skipped</th></tr><tr>";
  for (const char* name : {"nats", "bits/byte", "nats", "bits/byte"})
    html += fmt::format("<th data-column=\"{}\">{}</th>", column++, name);
  html += "</tr></thead><tbody>\n";
  for (std::size_t i = 0; i < runs.size(); ++i) html += run_row(runs[i], i);
  return html +
         "</tbody></table></div>\n<p class=\"fine\">FLOP: of training so far. Time: without "
         "pauses. Tokens/s: the median. Nats: per token.</p>\n" +
         missing_notes(runs);
}

std::string events_html(Runs runs) {
  constexpr std::size_t kMost = 200;  // of a run
  std::string html;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto events = notable_events(runs[i]);
    if (events.empty()) continue;
    std::string rows;
    const std::size_t begin = events.size() > kMost ? events.size() - kMost : 0;
    for (std::size_t e = begin; e < events.size(); ++e)
      rows += "<tr>" + cell(grouped(events[e].report.step)) +
              fmt::format("<td class=\"text\">{}</td><td class=\"text long\">{}</td></tr>\n",
                          html_text(events[e].report.kind), html_text(events[e].report.text));
    if (begin > 0) rows += fmt::format("<tr><td>...</td><td>{} before these</td></tr>", begin);
    html += folded(i, fmt::format("{} ({})", runs[i].name, events.size()), runs.size() <= kMostOpen,
                   "<div class=\"scroll\"><table><thead><tr><th>step</th><th class=\"text\">event"
                   "</th><th class=\"text\"></th></tr></thead><tbody>" +
                       rows + "</tbody></table></div>");
  }
  return html.empty() ? note("No update was skipped, and no run was resumed, rewound or failed.")
                      : html;
}

std::string samples_html(Runs runs) {
  std::string html;
  for (std::size_t i = 0; i < runs.size(); ++i)
    if (!runs[i].history.samples.empty())
      html +=
          folded(i, runs[i].name, runs.size() <= kMostOpen || html.empty(), samples_of(runs[i]));
  return html.empty() ? note("No run has written samples.") : html;
}

}  // namespace tern
