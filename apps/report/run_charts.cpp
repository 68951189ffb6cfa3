#include "apps/report/run_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>

#include "apps/plot/plot.h"

namespace tern {
namespace {

using Runs = std::span<const SavedRun>;
using StepValue = std::function<double(const StepReport&)>;

constexpr double kLargest = 1e30;     // no picture shows more
constexpr std::size_t kMostRaw = 12;  // runs whose raw losses can still be told apart

// Points of one curve, fewer where there are many curves: the page must stay quick.
std::size_t most_points(Runs runs) {
  return std::clamp<std::size_t>(24000 / std::max<std::size_t>(runs.size(), 1), 200, 1000);
}

template <class Report, class Value>
ChartPoints points_of(const Records<Report>& records, const Value& value) {
  ChartPoints points;
  for (const auto& [report, time, seconds] : records)
    if (const double x = value(report); std::abs(x) < kLargest)
      points.push_back({double(report.step), x});
  return points;
}

Chart step_chart(Runs runs, Chart chart, const StepValue& value) {
  for (std::size_t i = 0; i < runs.size(); ++i) {
    ChartPoints points = points_of(runs[i].history.steps, value);
    if (!points.empty())
      chart.series.push_back({i, Mark::line, thinned(points, most_points(runs))});
  }
  return chart;
}

ChartPoints smooth_loss(const SavedRun& run) {
  std::vector<LossPoint> losses;
  for (const auto& [report, time, seconds] : run.history.steps)
    if (std::abs(report.loss) < kLargest) losses.push_back({report.step, 0, report.loss});
  ChartPoints points;
  for (const LossPoint& p : smoothed(losses)) points.push_back({double(p.step), p.loss});
  return points;
}

std::vector<ChartEvent> chart_events(Runs runs) {
  constexpr std::size_t kMost = 100;  // of a run
  std::vector<ChartEvent> events;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    std::vector<Recorded<EventReport>> notable = notable_events(runs[i]);
    if (notable.size() > kMost) notable.erase(notable.begin(), notable.end() - kMost);
    for (const auto& [event, time, seconds] : notable)
      events.push_back(
          {i, double(event.step),
           fmt::format("{}, step {}: {}: {}", runs[i].name, event.step, event.kind, event.text)});
  }
  return events;
}

Chart loss_chart(Runs runs) {
  Chart chart{.title = "Training and validation",
              .unit = runs.size() <= kMostRaw
                          ? "nats per token; training smoothed, raw values faint, validation dots"
                          : "nats per token; training smoothed, validation dots",
              .fit = Fit::without_first_fall,
              .wide = true,
              .events = chart_events(runs)};
  const std::size_t most = most_points(runs);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto loss = [](const auto& report) { return report.loss; };
    const ChartPoints raw = points_of(runs[i].history.steps, loss),
                      validation = points_of(runs[i].history.validations, loss);
    if (!raw.empty() && runs.size() <= kMostRaw)
      chart.series.push_back({i, Mark::faint, thinned(raw, most)});
    if (!raw.empty()) chart.series.push_back({i, Mark::line, thinned(smooth_loss(runs[i]), most)});
    if (!validation.empty()) chart.series.push_back({i, Mark::dots, thinned(validation, most / 4)});
  }
  return chart;
}

double loss_of_source(const ValidationReport& report, const std::string& source) {
  for (const auto& [name, loss] : report.sources)
    if (name == source) return loss;
  return kUnknown;
}

// of a value of validations, as a line with its points
Chart validation_chart(Runs runs, Chart chart,
                       const std::function<double(const ValidationReport&)>& value) {
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const ChartPoints points = points_of(runs[i].history.validations, value);
    if (points.empty()) continue;
    const ChartPoints few = thinned(points, most_points(runs) / 4);
    chart.series.push_back({i, Mark::line, few});
    chart.series.push_back({i, Mark::dots, few});
  }
  return chart;
}

std::vector<Chart> validation_charts(Runs runs) {
  std::vector<std::string> sources;
  for (const SavedRun& run : runs)
    for (const auto& [report, time, seconds] : run.history.validations)
      for (const auto& [name, loss] : report.sources)
        if (std::ranges::find(sources, name) == sources.end()) sources.push_back(name);
  std::vector<Chart> charts = {
      validation_chart(runs,
                       {.title = "All sources",
                        .unit = "bits for each byte of the text",
                        .fit = Fit::without_first_fall},
                       [](const ValidationReport& report) { return report.bits_per_byte; })};
  for (const std::string& source : sources) {
    charts.push_back(validation_chart(
        runs, {.title = source, .unit = "nats per token", .fit = Fit::without_first_fall},
        [&](const ValidationReport& report) { return loss_of_source(report, source); }));
  }
  return charts;
}

std::vector<Chart> optimizer_charts(Runs runs) {
  std::vector<Chart> charts;
  charts.push_back(step_chart(runs, {.title = "Learning rate", .fit = Fit::from_zero},
                              [](const StepReport& s) { return s.learning_rate; }));
  charts.push_back(step_chart(runs,
                              {.title = "Gradient norm", .unit = "before clipping", .log = true},
                              [](const StepReport& s) { return s.gradient_norm; }));
  charts.back().events = chart_events(runs);
  charts.back().log = std::ranges::any_of(charts.back().series, [](const Series& s) {
    return std::ranges::any_of(s.points, [](const ChartPoint& p) { return p.value > 0; });
  });
  const auto skipped = [](const StepReport& s) { return double(s.skipped); };
  const bool any = std::ranges::any_of(runs, [](const SavedRun& run) {
    return !run.history.steps.empty() && run.history.steps.back().report.skipped > 0;
  });
  if (any)
    charts.push_back(step_chart(
        runs, {.title = "Skipped updates", .unit = "so far", .fit = Fit::from_zero}, skipped));
  return charts;
}

std::vector<Chart> speed_charts(Runs runs) {
  return {step_chart(runs, {.title = "Speed", .unit = "tokens per second", .fit = Fit::from_zero},
                     [](const StepReport& s) { return s.tokens_per_second; }),
          step_chart(runs,
                     {.title = "Share of the peak",
                      .unit = "% of what plain products reach",
                      .fit = Fit::from_zero},
                     [](const StepReport& s) { return 100 * s.share_of_peak; }),
          step_chart(runs, {.title = "Memory", .unit = "GiB, of the run", .fit = Fit::from_zero},
                     [](const StepReport& s) { return s.memory_bytes / (1 << 30); })};
}

std::vector<Chart> gpu_charts(Runs runs) {
  const auto chart = [&](const char* title, const char* unit, Fit fit, double GpuReadings::*of,
                         double factor = 1) {
    return step_chart(runs, {.title = title, .unit = unit, .fit = fit},
                      [=](const StepReport& s) { return s.gpu.*of * factor; });
  };
  return {chart("Utilisation", "% of the time", Fit::from_zero, &GpuReadings::utilization, 100),
          chart("Power", "W", Fit::from_zero, &GpuReadings::power),
          chart("Temperature", "degrees Celsius", Fit::all, &GpuReadings::temperature),
          chart("Clock", "MHz", Fit::all, &GpuReadings::clock),
          chart("GPU memory", "GiB, of all processes", Fit::from_zero, &GpuReadings::memory_bytes,
                1.0 / (1 << 30))};
}

}  // namespace

RunClock clock_of(const SavedRun& run) {
  struct Tick {
    double step, tokens, seconds;
  };
  std::vector<Tick> ticks;
  const auto add = [&](const auto& records) {
    for (const auto& [report, time, seconds] : records)
      ticks.push_back({double(report.step), double(report.tokens), seconds});
  };
  add(run.history.validations);
  add(run.history.steps);
  std::ranges::stable_sort(ticks, {}, &Tick::step);
  RunClock clock{.flop_per_token = run.flop_per_token()};
  constexpr std::size_t kMost = 600;
  const std::size_t stride = ticks.size() / kMost + 1;
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    if (i % stride != 0 && i + 1 != ticks.size()) continue;
    if (!clock.steps.empty() && clock.steps.back() == ticks[i].step) continue;
    clock.steps.push_back(ticks[i].step);
    clock.tokens.push_back(ticks[i].tokens);
    clock.seconds.push_back(ticks[i].seconds);
  }
  return clock;
}

std::vector<Recorded<EventReport>> notable_events(const SavedRun& run) {
  static const std::set<std::string> kUsual = {"finish", "save_postponed", "warning"};
  std::vector<Recorded<EventReport>> events;
  bool started = false;
  for (const auto& event : run.history.events) {
    const bool start = event.report.kind == "start";
    if ((start && !std::exchange(started, true)) || kUsual.contains(event.report.kind)) continue;
    events.push_back(event);
    if (start) events.back().report.kind = "resume";
  }
  return events;
}

std::vector<ChartGroup> chart_groups(Runs runs) {
  std::vector<ChartGroup> groups;
  groups.push_back({"Loss", {loss_chart(runs)}, "No run has recorded a loss."});
  groups.push_back({"Validation", validation_charts(runs), ""});
  groups.push_back({"Optimizer", optimizer_charts(runs), "No run has recorded steps."});
  groups.push_back({"Speed", speed_charts(runs), "No run has recorded its speed."});
  groups.push_back({"GPU", gpu_charts(runs), "No run has recorded figures of a GPU."});
  for (ChartGroup& group : groups)
    std::erase_if(group.charts, [](const Chart& chart) { return chart.series.empty(); });
  return groups;
}

}  // namespace tern
