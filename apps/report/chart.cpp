#include "apps/report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "apps/report/axis.h"
#include "apps/report/html.h"

namespace tern {
namespace {

constexpr std::size_t kColours = 7;  // --c0 to --c6 of the style sheet
constexpr std::array kDashes = {"", "7 3", "2 3", "9 3 2 3"};

std::string stroke(std::size_t run) {
  const std::string dash = kDashes[run / kColours % kDashes.size()];
  return fmt::format("class=\"c{}\"", run % kColours) +
         (dash.empty() ? "" : fmt::format(" stroke-dasharray=\"{}\"", dash));
}

// Where the picture has its parts, in its own units.
struct PlotArea {
  double width, height;
  double left = 54, right = 14, top = 10, bottom = 40;

  double x(double share) const { return left + share * (width - left - right); }
  double y(double share) const {
    constexpr double kFar = 20;  // what is not shown may lie very far off
    return top + (1 - std::clamp(share, -kFar, kFar)) * (height - top - bottom);
  }
};

ChartAxis x_axis(const Chart& chart, std::span<const RunClock> clocks) {
  double last = 0;
  for (const Series& s : chart.series)
    if (!s.points.empty()) last = std::max(last, clocks[s.run].tokens_at(s.points.back().step));
  return {0, last > 0 ? last : 1};
}

// The values that the y axis must show.
std::vector<double> shown_values(const Chart& chart) {
  std::vector<double> values;
  for (const Series& s : chart.series) {
    if (s.points.empty()) continue;
    constexpr double kFall = 1.0 / 20;  // of the run
    const double begin = chart.fit == Fit::without_first_fall && s.points.size() > 2
                             ? s.points.back().step * kFall
                             : -INFINITY;
    for (const ChartPoint& p : s.points)
      if (p.step >= begin && (p.value > 0 || !chart.log)) values.push_back(p.value);
  }
  std::sort(values.begin(), values.end());
  return values;
}

ChartAxis y_axis(const Chart& chart) {
  const std::vector<double> values = shown_values(chart);
  if (values.empty()) return {chart.log ? 0.1 : 0.0, 1, chart.log};
  const std::size_t out = chart.fit == Fit::without_first_fall ? values.size() / 300 : 0;
  double low = values[out], high = values[values.size() - 1 - out];
  if (chart.log) {
    const double margin = std::max(std::pow(high / low, 0.05), 1.05);
    return {low / margin, high * margin, true};
  }
  if (chart.fit == Fit::from_zero && low > 0) low = 0;
  double margin = 0.05 * (high - low);
  if (!(margin > 0)) margin = std::max(0.05 * std::abs(high), 1e-9);
  return {low == 0 ? 0 : low - margin, high + margin};
}

std::string axes_svg(const PlotArea& f, const ChartAxis& x, const ChartAxis& y) {
  std::string svg = "<g class=\"grid\">";
  const auto y_marks = y.marks(int(f.height / 55)), x_marks = x.marks(int(f.width / 95));
  for (const AxisMark& m : y_marks)
    svg += fmt::format("<path d=\"M{:.1f} {:.1f}H{:.1f}\"/>", f.left, f.y(y.share(m.value)),
                       f.width - f.right);
  svg += "</g><g class=\"axis\">";
  svg += fmt::format("<path d=\"M{:.1f} {:.1f}H{:.1f}\"/>", f.left, f.y(0), f.width - f.right);
  for (const AxisMark& m : y_marks)
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", f.left - 7,
                       f.y(y.share(m.value)) + 4, m.label);
  for (const AxisMark& m : x_marks)
    svg += fmt::format(
        "<path d=\"M{0:.1f} {1:.1f}v4\"/><text x=\"{0:.1f}\" y=\"{2:.1f}\" "
        "text-anchor=\"middle\">{3}</text>",
        f.x(x.share(m.value)), f.y(0), f.y(0) + 17, m.label);
  return svg + fmt::format(
                   "<text class=\"name\" x=\"{:.1f}\" y=\"{:.1f}\" "
                   "text-anchor=\"end\">tokens</text></g>",
                   f.width - f.right, f.height - 4);
}

std::string series_svg(const Series& s, const PlotArea& f, const ChartAxis& x, const ChartAxis& y,
                       const RunClock& clock) {
  const bool dots = s.mark == Mark::dots || s.points.size() == 1;
  std::string path;
  for (const ChartPoint& p : s.points) {
    if (y.log && !(p.value > 0)) continue;
    const double at = f.x(x.share(clock.tokens_at(p.step))), height = f.y(y.share(p.value));
    path += fmt::format("{}{:.1f} {:.1f}{}", dots || path.empty() ? "M" : "L", at, height,
                        dots ? "h0" : "");
  }
  if (path.empty()) return "";
  const char* kind = dots ? "dots" : s.mark == Mark::faint ? "faint" : "line";
  return fmt::format("<g class=\"{}\"><path {} d=\"{}\"/></g>", kind, stroke(s.run), path);
}

std::string event_svg(const ChartEvent& e, const PlotArea& f, const ChartAxis& x,
                      const RunClock& clock) {
  const double at = f.x(x.share(clock.tokens_at(e.step)));
  return fmt::format(
      "<g class=\"event\"><path class=\"c{} fill\" d=\"M{:.1f} {:.1f}l-5 9h10z\">"
      "<title>{}</title></path></g>",
      e.run % kColours, at, f.y(0) - 9, html_text(e.text));
}

std::string svg_of(const Chart& chart, std::size_t number, std::span<const RunClock> clocks) {
  const PlotArea f = chart.wide ? PlotArea{1080, 400} : PlotArea{440, 230};
  const ChartAxis x = x_axis(chart, clocks), y = y_axis(chart);
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" aria-label=\"{2}\"><clipPath "
      "id=\"clip{3}\"><rect x=\"{4:.1f}\" y=\"{5:.1f}\" width=\"{6:.1f}\" height=\"{7:.1f}\"/>"
      "</clipPath>",
      f.width, f.height, html_text(chart.title), number, f.left, f.top - 4,
      f.width - f.left - f.right + 4, f.height - f.top - f.bottom + 5);
  svg += axes_svg(f, x, y) + fmt::format("<g clip-path=\"url(#clip{})\">", number);
  for (const Mark mark : {Mark::faint, Mark::line, Mark::dots})
    for (const Series& s : chart.series)
      if (s.mark == mark) svg += series_svg(s, f, x, y, clocks[s.run]);
  for (const ChartEvent& e : chart.events) svg += event_svg(e, f, x, clocks[e.run]);
  return svg + "</g></svg>";
}

}  // namespace

double RunClock::tokens_at(double step) const {
  if (steps.empty()) return 0;
  const auto after = std::size_t(std::ranges::lower_bound(steps, step) - steps.begin());
  if (after == steps.size()) return tokens.back();
  if (after == 0 || steps[after] == step) return tokens[after];
  const double share = (step - steps[after - 1]) / (steps[after] - steps[after - 1]);
  return tokens[after - 1] + share * (tokens[after] - tokens[after - 1]);
}

ChartPoints thinned(const ChartPoints& points, std::size_t most) {
  if (points.size() <= most || most < 4) return points;
  const std::size_t stretches = most / 2;
  ChartPoints few = {points.front()};
  for (std::size_t i = 0; i < stretches; ++i) {
    const auto begin = points.begin() + std::ptrdiff_t(points.size() * i / stretches);
    const auto end = points.begin() + std::ptrdiff_t(points.size() * (i + 1) / stretches);
    auto [low, high] = std::minmax_element(
        begin, end, [](const ChartPoint& a, const ChartPoint& b) { return a.value < b.value; });
    if (high < low) std::swap(low, high);
    if (low != points.begin()) few.push_back(*low);
    if (high != low) few.push_back(*high);
  }
  if (few.back().step != points.back().step) few.push_back(points.back());
  return few;
}

std::string run_line(std::size_t run) {
  return "<svg class=\"key\" viewBox=\"0 0 26 10\" aria-hidden=\"true\"><path " + stroke(run) +
         " d=\"M1 5H25\"/></svg>";
}

std::string chart_html(const Chart& chart, std::size_t number, std::span<const RunClock> clocks) {
  return fmt::format(
      "<figure class=\"chart{}\" data-chart=\"{}\"><figcaption><b>{}</b> <span>{}</span>"
      "<button type=\"button\" class=\"js log\" aria-pressed=\"{}\">log</button></figcaption>"
      "<div class=\"plot\">{}</div></figure>\n",
      chart.wide ? " wide" : "", number, html_text(chart.title), html_text(chart.unit), chart.log,
      svg_of(chart, number, clocks));
}

std::string clock_json(const RunClock& clock) {
  return fmt::format(
      "\"flop\":{},\"steps\":{},\"tokens\":{},\"seconds\":{}",
      std::isfinite(clock.flop_per_token) ? fmt::format("{:.8g}", clock.flop_per_token) : "null",
      script_numbers(clock.steps, 12), script_numbers(clock.tokens, 12),
      script_numbers(clock.seconds, 7));
}

std::string chart_json(const Chart& chart) {
  constexpr std::array kMarks = {"line", "faint", "dots"};
  constexpr std::array kFits = {"all", "zero", "fall"};
  std::string json =
      fmt::format("{{\"title\":{},\"unit\":{},\"fit\":\"{}\",\"log\":{},\"wide\":{},\"series\":[",
                  script_string(chart.title), script_string(chart.unit),
                  kFits[std::size_t(chart.fit)], chart.log, chart.wide);
  for (const Series& s : chart.series) {
    std::vector<double> steps, values;
    for (const ChartPoint& p : s.points) {
      steps.push_back(p.step);
      values.push_back(p.value);
    }
    json += fmt::format("{}{{\"run\":{},\"mark\":\"{}\",\"steps\":{},\"values\":{}}}",
                        &s == chart.series.data() ? "" : ",", s.run, kMarks[std::size_t(s.mark)],
                        script_numbers(steps, 12), script_numbers(values, 5));
  }
  json += "],\"events\":[";
  for (const ChartEvent& e : chart.events)
    json += fmt::format("{}{{\"run\":{},\"step\":{},\"text\":{}}}",
                        &e == chart.events.data() ? "" : ",", e.run, e.step, script_string(e.text));
  return json + "]}";
}

}  // namespace tern
