#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "apps/console/text.h"
#include "apps/plot/plot.h"

namespace tern {
namespace {

constexpr std::size_t kMostPoints = 3000;  // more cannot be told apart in the picture

// Okabe and Ito's palette, which colour-blind people can tell apart, yellow left out.
constexpr std::array kColours = {"0072B2", "D55E00", "009E73", "CC79A7",
                                 "E69F00", "56B4E9", "000000"};

// 'text' as gnuplot quotes it: nothing but the quote itself is special there
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : printable(text)) {
    if (c == '\'') out += '\'';
    out += c == '\n' || c == '\t' ? ' ' : c;
  }
  return out + "'";
}

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

std::vector<LossPoint> smoothed(const std::vector<LossPoint>& points) {
  return averaged(averaged(points));  // the second time takes the jitter of a hard-edged window
}

struct Unit {
  double tokens;
  const char* name;
};

Unit unit_for(double tokens) {
  if (tokens >= 2e9) return {1e9, "billions of tokens"};
  if (tokens >= 2e6) return {1e6, "millions of tokens"};
  if (tokens >= 2e3) return {1e3, "thousands of tokens"};
  return {1, "tokens"};
}

std::string data_block(const std::string& name, const std::vector<LossPoint>& points, Unit unit) {
  std::string out = "$" + name + " << END\n";
  const std::size_t stride = points.size() / kMostPoints + 1;
  for (std::size_t i = 0; i < points.size(); ++i)
    if (i % stride == 0 || i + 1 == points.size())
      out += fmt::format("{:.7g} {:.6g}\n", points[i].tokens / unit.tokens, points[i].loss);
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
      "set terminal pngcairo noenhanced size 1280,800 font 'Sans,15' background '#FFFFFF'\n"
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
      quoted(title), unit, last, range.low, range.high, decimals_for(range));
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
  return title.empty() ? "notitle" : "title " + quoted(title);
}

CurveStyle style_of(const NamedCurve& c, std::size_t index, bool single) {
  const bool trained = !c.curve.train.empty(), validated = !c.curve.validation.empty();
  const char* colour = kColours[index % kColours.size()];
  const std::string val =
      validated ? fmt::format("validation {:.3f}", c.curve.validation.back().loss) : "";
  if (single) {
    const double last = trained ? smoothed(c.curve.train).back().loss : 0;
    return {fmt::format("training {:.3f}", last), val, colour, kColours[1], "B0"};
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

std::string plot_script(std::span<const NamedCurve> curves) {
  double tokens = 1;
  for (const NamedCurve& c : curves)
    for (const auto* points : {&c.curve.train, &c.curve.validation})
      if (!points->empty()) tokens = std::max(tokens, points->back().tokens);
  const Unit unit = unit_for(tokens);
  const bool single = curves.size() == 1;
  const std::string title = single ? curves[0].name : "training (lines) and validation (points)";

  Drawing drawing;
  for (std::size_t i = 0; i < curves.size(); ++i)
    draw(curves[i], i, style_of(curves[i], i, single), unit, drawing);
  std::string plots;
  for (const auto* layer : {&drawing.faint, &drawing.lines, &drawing.points})
    for (const std::string& plot : *layer) plots += (plots.empty() ? "plot " : ", ") + plot;
  return frame(title, unit.name, tokens / unit.tokens * 1.02, loss_range(curves)) + drawing.data +
         plots + "\n";
}

}  // namespace tern
