#include "apps/plot/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "apps/plot/gnuplot.h"
#include "apps/run/run_history.h"
#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

template <class Report>
std::vector<LossPoint> points_of(const Records<Report>& records) {
  std::vector<LossPoint> points;
  for (const auto& [report, time, seconds] : records)
    if (std::isfinite(report.loss))
      points.push_back({report.step, double(report.tokens), report.loss, seconds});
  return points;
}

LossCurve curve_of(const RunHistory& history) {
  return {points_of(history.steps), points_of(history.validations), history.unreadable};
}

std::vector<NamedCurve> read_runs(const std::vector<fs::path>& runs) {
  std::multiset<std::string> names;
  for (const fs::path& run : runs) names.insert(name_of_run(run));
  std::vector<NamedCurve> curves;
  for (const fs::path& run : runs) {
    const std::string name = name_of_run(run);
    NamedCurve read{names.count(name) > 1 ? run.string() : name, read_losses(run)};
    if (!read.curve.train.empty() || !read.curve.validation.empty())
      curves.push_back(std::move(read));
  }
  require(!curves.empty(), Fault::input, runs.front().string(),
          ": expected losses of training or validation, got none; has the run begun?");
  return curves;
}

}  // namespace

LossCurve parse_losses(std::string_view metrics) {
  return curve_of(parse_history(metrics));
}

LossCurve read_losses(const fs::path& run) {
  return curve_of(read_history(run));
}

void plot_runs(const std::vector<fs::path>& runs, const fs::path& out,
               std::span<const PlotAxis> axes) {
  const std::vector<NamedCurve> curves = read_runs(runs);
  draw_with_gnuplot(plot_script(curves, axes), out);
}

Picture::Picture(std::filesystem::path run, Warn warn, std::string program)
    : run_(std::move(run)),
      warn_(std::move(warn)),
      program_(std::move(program)),
      possible_(has_program("gnuplot")) {
  if (!possible_) warn_once("gnuplot is not installed (on Debian: apt-get install gnuplot-nox)");
}

void Picture::warn_once(const std::string& why) {
  if (!std::exchange(warned_, true)) warn_("no loss curve is drawn: " + why);
}

bool Picture::idle() {
  if (!child_) return true;
  if (!child_->ended()) return false;
  const int code = child_->exit_code();
  child_.reset();
  // 3: no losses there yet
  if (code != 0 && code != int(Fault::input))
    warn_once("exit code " + std::to_string(code) + "; `tern plot " + run_.string() +
              "` shows the cause");
  return true;
}

void Picture::refresh() {
  if (!possible_ || !idle()) return;
  try {
    child_.emplace(std::vector<std::string>{program_, "plot", "--", run_}, Streams{});
  } catch (const Error& e) {
    warn_once(e.what());
  }
}

void Picture::finish() {
  constexpr double kPatience = 5;
  if (child_) child_->wait(kPatience);
  refresh();
  if (child_) child_->wait(kPatience);
  idle();
}

namespace {

constexpr std::size_t kMostPoints = 3000;  // more cannot be told apart in the picture

// The mean over neighbours on both sides, few at the start, where the loss falls fast, and later a
// fiftieth of the curve: without the lag of a running average.
std::vector<LossPoint> averaged(const std::vector<LossPoint>& points) {
  const std::size_t n = points.size();
  std::vector<double> sum(n + 1, 0.0);
  for (std::size_t i = 0; i < n; ++i) sum[i + 1] = sum[i] + points[i].loss;
  std::vector<LossPoint> calm = points;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t reach = std::min(i / 8, n / 100);
    const std::size_t begin = i - reach, end = std::min(n, i + reach + 1);
    calm[i].loss = (sum[end] - sum[begin]) / double(end - begin);
  }
  return calm;
}

}  // namespace

std::vector<LossPoint> smoothed(const std::vector<LossPoint>& points) {
  return averaged(averaged(points));  // the second time takes the jitter of a hard-edged window
}

namespace {

// Of the x axis.
struct Unit {
  double LossPoint::*of;
  double size;
  const char* name;

  double at(const LossPoint& p) const { return p.*of / size; }
};

Unit unit_for(PlotAxis axis, double last) {
  if (axis == PlotAxis::seconds) {
    if (last >= 7200) return {&LossPoint::seconds, 3600, "hours"};
    if (last >= 600) return {&LossPoint::seconds, 60, "minutes"};
    return {&LossPoint::seconds, 1, "seconds"};
  }
  if (last >= 2e9) return {&LossPoint::tokens, 1e9, "billions of tokens"};
  if (last >= 2e6) return {&LossPoint::tokens, 1e6, "millions of tokens"};
  if (last >= 2e3) return {&LossPoint::tokens, 1e3, "thousands of tokens"};
  return {&LossPoint::tokens, 1, "tokens"};
}

std::string data_block(const std::string& name, const std::vector<LossPoint>& points, Unit unit) {
  std::string out = "$" + name + " << END\n";
  const std::size_t stride = points.size() / kMostPoints + 1;
  for (std::size_t i = 0; i < points.size(); ++i)
    if (i % stride == 0 || i + 1 == points.size())
      out += fmt::format("{:.7g} {:.6g}\n", unit.at(points[i]), points[i].loss);
  return out + "END\n";
}

struct Range {
  double low = INFINITY, high = -INFINITY;
};

// Of the y axis. It leaves out the first fall, which would squeeze everything after it into a
// corner, and single losses that stick out.
Range loss_range(std::span<const NamedCurve> curves) {
  std::vector<double> shown;
  for (const auto& [name, curve] : curves) {
    const std::size_t skip = curve.train.size() / 40;
    for (std::size_t i = skip; i < curve.train.size(); ++i) shown.push_back(curve.train[i].loss);
    for (const LossPoint& p : curve.validation)
      if (skip == 0 || p.tokens >= curve.train[skip].tokens) shown.push_back(p.loss);
  }
  if (shown.empty()) return {0, 1};
  std::sort(shown.begin(), shown.end());
  const std::size_t outliers = shown.size() / 500;
  const Range range{shown[outliers], shown[shown.size() - 1 - outliers]};
  const double margin =
      std::max({0.06 * (range.high - range.low), 0.02, 1e-3 * std::abs(range.high)});
  return {range.low - margin, range.high + margin};
}

// so many decimals that neighbouring marks of the axis differ
int decimals_for(Range range) {
  const double size = range.high - range.low;
  return size > 1.5 ? 1 : size > 0.15 ? 2 : 3;
}

std::string frame(const std::string& title, const char* unit, double last, Range range) {
  return fmt::format(
      "set title {} font 'Sans,19' offset 0,-0.3\n"
      "set xlabel '{}' offset 0,0.2\n"
      "set ylabel 'loss (nats per token)' offset 0.6,0\n"
      "set border 3 linecolor rgb '#808080' linewidth 1.2\n"
      "set tics nomirror out scale 0.6 textcolor rgb '#404040'\n"
      "set grid xtics ytics linetype 1 linecolor rgb '#E4E4E4' linewidth 1\n"
      "set key top right spacing 1.25 samplen 2.2 reverse Left\n"
      "set xrange [0:{:.7g}]\n"
      "set yrange [{:.6g}:{:.6g}]\n"
      "set format y '%.{}f'\n"
      "set lmargin 10\nset rmargin 4\nset tmargin 3.2\nset bmargin 4\n",
      gnuplot_text(title), unit, last, range.low, range.high, decimals_for(range));
}

// Data blocks, and the curves drawn from them: faint raw losses at the back, validation in front.
struct Drawing {
  std::string data{};
  std::vector<std::string> faint{}, lines{}, points{};
};

struct CurveStyle {
  std::string train_title, validation_title;  // empty: not in the legend
  const char *colour, *validation_colour;
  const char* raw_transparency;  // hexadecimal, FF is invisible
};

std::string titled(const std::string& title) {
  return title.empty() ? "notitle" : "title " + gnuplot_text(title);
}

CurveStyle style_of(const NamedCurve& c, std::size_t index, bool single) {
  const bool trained = !c.curve.train.empty(), validated = !c.curve.validation.empty();
  const char* colour = kPalette[index % kPalette.size()];
  const std::string val =
      validated ? fmt::format("validation {:.3f}", c.curve.validation.back().loss) : "";
  if (single) {
    const double last = trained ? smoothed(c.curve.train).back().loss : 0;
    return {fmt::format("training {:.3f}", last), val, colour, kPalette[1], "B0"};
  }
  const std::string title = c.name + (validated ? ", " + val : "");
  return {title, trained ? "" : title, colour, colour, "D8"};
}

void draw(const NamedCurve& c, std::size_t index, const CurveStyle& style, Unit unit, Drawing& on) {
  if (!c.curve.train.empty()) {
    on.data += data_block(fmt::format("raw{}", index), c.curve.train, unit);
    on.data += data_block(fmt::format("train{}", index), smoothed(c.curve.train), unit);
    on.faint.push_back(fmt::format("$raw{} with lines linewidth 1 linecolor rgb '#{}{}' notitle",
                                   index, style.raw_transparency, style.colour));
    on.lines.push_back(fmt::format("$train{} with lines linewidth 2.6 linecolor rgb '#{}' {}",
                                   index, style.colour, titled(style.train_title)));
  }
  if (!c.curve.validation.empty()) {
    on.data += data_block(fmt::format("val{}", index), c.curve.validation, unit);
    on.points.push_back(fmt::format(
        "$val{} with linespoints linewidth 1.6 pointtype 7 pointsize 1.1 linecolor rgb '#{}' {}",
        index, style.validation_colour, titled(style.validation_title)));
  }
}

}  // namespace

namespace {

double last_of(std::span<const NamedCurve> curves, PlotAxis axis) {
  const Unit plain = unit_for(axis, 0);
  double last = 1;
  for (const NamedCurve& c : curves)
    for (const auto* points : {&c.curve.train, &c.curve.validation})
      for (const LossPoint& p : *points) last = std::max(last, plain.at(p));  // NaN does not count
  return last;
}

std::string panel(std::span<const NamedCurve> curves, PlotAxis axis) {
  const double last = last_of(curves, axis);
  const Unit unit = unit_for(axis, last);
  const bool single = curves.size() == 1;
  const std::string title = single ? curves[0].name : "training (lines) and validation (points)";

  Drawing drawing;
  for (std::size_t i = 0; i < curves.size(); ++i)
    draw(curves[i], i, style_of(curves[i], i, single), unit, drawing);
  std::string plots;
  for (const auto* layer : {&drawing.faint, &drawing.lines, &drawing.points})
    for (const std::string& plot : *layer) plots += (plots.empty() ? "plot " : ", ") + plot;
  return frame(title, unit.name, last / unit.size * 1.02, loss_range(curves)) + drawing.data +
         plots + "\n";
}

}  // namespace

std::string plot_script(std::span<const NamedCurve> curves, std::span<const PlotAxis> axes) {
  check(!axes.empty(), "[plot_script] expected at least one axis");
  std::string script = fmt::format(
      "set terminal pngcairo noenhanced size {},800 font 'Sans,15' background '#FFFFFF'\n",
      axes.size() == 1 ? 1280 : 960 * axes.size());
  if (axes.size() > 1) script += fmt::format("set multiplot layout 1,{}\n", axes.size());
  for (const PlotAxis axis : axes) script += panel(curves, axis);
  return script;
}

}  // namespace tern
