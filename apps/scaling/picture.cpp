#include "apps/scaling/picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/plot/gnuplot.h"
#include "apps/scaling/report.h"

namespace tern {
namespace {

constexpr int kPlaces = 160;  // of a curve

// What the axes show.
struct Frame {
  FlopRange flop{};
  double low = INFINITY, high = 0;  // losses
  FlopRange data{};                 // FLOP of all points
  std::size_t families = 0;
};

struct Curve {
  struct Place {
    double flop, loss;
    Interval interval;
  };
  std::vector<Place> places{};
};

// Of several pairs only those that the data can tell: others would cover the picture.
bool is_shown(const CrossingAnalysis& c, const ScalingAnalysis& analysis) {
  return analysis.crossings.size() == 1 || c.crossing.determinable();
}

Frame frame_of(const ScalingAnalysis& analysis) {
  Frame frame{.data = {INFINITY, 0}, .families = analysis.families.size()};
  for (const FamilyAnalysis& family : analysis.families) {
    frame.data.low = std::min(frame.data.low, family.flop.low);
    frame.data.high = std::max(frame.data.high, family.flop.high);
  }
  frame.flop = {frame.data.low / 2, frame.data.high * 3};
  for (const CrossingAnalysis& c : analysis.crossings)
    for (const double flop : {c.crossing.interval.low, c.crossing.interval.high}) {
      if (!is_shown(c, analysis)) continue;
      constexpr double kFarthest =
          3e5;  // beyond the data: the points would be squeezed into a corner
      const double shown = std::min(2 * flop, frame.data.high * kFarthest);
      frame.flop.high = std::max(frame.flop.high, shown);
    }
  for (const double flop : analysis.options.flop) {
    frame.flop.low = std::min(frame.flop.low, flop / 2);
    frame.flop.high = std::max(frame.flop.high, flop * 2);
  }
  return frame;
}

Curve curve_of(const FamilyAnalysis& family, FlopRange flop) {
  Curve curve;
  for (int i = 0; i <= kPlaces; ++i) {
    const double at = flop.low * std::pow(flop.high / flop.low, double(i) / kPlaces);
    const Estimate e = estimate(family.fit.law, family.samples,
                                [at](const ScalingLaw& law) { return law.loss_of_flop(at); });
    curve.places.push_back({at, e.value, e.interval});
  }
  return curve;
}

// Losses of the points and of the curves; of the intervals what fits beside them.
void fit_losses(Frame& frame, const ScalingAnalysis& analysis, std::span<const Curve> curves) {
  for (const FamilyAnalysis& family : analysis.families)
    for (const ScalingPoint& p : family.points) {
      frame.low = std::min(frame.low, p.loss);
      frame.high = std::max(frame.high, p.loss);
    }
  const double least = frame.low;
  for (const Curve& curve : curves)
    for (const auto& [flop, loss, interval] : curve.places) {
      frame.low = std::min(frame.low, std::max(loss, 0.5 * least));
      frame.low = std::min(frame.low, std::max(interval.low, 0.7 * least));
      frame.high = std::max(frame.high, loss);
    }
  frame.low *= 0.98;
  frame.high *= 1.03;
}

// Round losses, at most eleven: gnuplot marks only powers of ten on such a short axis.
std::string loss_tics(const Frame& frame) {
  double step = 0.01;
  for (const double next : {0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0})
    if ((frame.high - frame.low) / step > 11) step = next;
  std::string tics;
  for (double at = std::ceil(frame.low / step) * step; at <= frame.high; at += step)
    tics += fmt::format("{}'{:.{}f}' {:.6g}", tics.empty() ? "" : ", ", at, step < 0.1 ? 2 : 1, at);
  return tics;
}

// Points of a chinchilla law are coloured by their parameters where there is one family.
bool coloured_by_size(const ScalingAnalysis& analysis) {
  return analysis.families.size() == 1 && analysis.options.law == LawKind::chinchilla;
}

// of a family's curve and points
const char* colour_of(std::size_t family, const ScalingAnalysis& analysis) {
  if (coloured_by_size(analysis)) return kPalette[1];  // apart from the points' colours
  return kPalette[family % kPalette.size()];
}

const char* title_of(LawKind kind) {
  if (kind == LawKind::chinchilla) return "L = E + A / N^{α} + B / D^{β},   C = 6 N D";
  return kind == LawKind::linear ? "L = c - s log_{10} C,   C = 6 N D"
                                 : "L = k / C^{ p},   C = 6 N D";
}

std::string head(const ScalingAnalysis& analysis, const Frame& frame) {
  const bool one_pair = analysis.crossings.size() == 1;
  return fmt::format(
      "set encoding utf8\n"
      "set terminal pngcairo enhanced size 1280,800 font 'Sans,15' background '#FFFFFF'\n"
      "set title '{}' font 'Sans,18' offset 0,{}\n"
      "set logscale xy\n"
      "set xlabel 'FLOP of training' offset 0,0.2\n"
      "set ylabel 'loss (nats per token)' offset 0.6,0\n"
      "set border 3 linecolor rgb '#808080' linewidth 1.2\n"
      "set tics nomirror out scale 0.6 textcolor rgb '#404040'\n"
      "set format x '10^{{%T}}'\n"
      "set grid xtics ytics linetype 1 linecolor rgb '#E4E4E4' linewidth 1\n"
      "set key bottom left noenhanced spacing 1.25 samplen 2.2 reverse Left\n"
      "set xrange [{:.6g}:{:.6g}]\nset yrange [{:.6g}:{:.6g}]\nset ytics ({})\n"
      "set lmargin 10\nset rmargin 4\nset tmargin {}\nset bmargin 4\n",
      title_of(analysis.options.law), one_pair ? 0.8 : -0.3, frame.flop.low, frame.flop.high,
      frame.low, frame.high, loss_tics(frame), one_pair ? 4.4 : 3.2);
}

// down to the axis, or to the legend at the bottom left
std::string vertical_line(double flop, const Frame& frame, const char* style) {
  const double place = std::log(flop / frame.flop.low) / std::log(frame.flop.high / frame.flop.low);
  const double legend = 0.04 + 0.05 * double(frame.families);
  return fmt::format("set arrow from {0:.6g},graph {1:.3g} to {0:.6g},graph 1 nohead back {2}\n",
                     flop, place < 0.6 ? legend : 0, style);
}

// The interval as a grey field, the median as a line, and the verdict below.
std::string crossing_field(const CrossingAnalysis& c, const Frame& frame) {
  const Interval interval = c.crossing.interval;
  if (interval.low >= frame.flop.high || interval.high <= frame.flop.low) return "";
  const double low = std::max(interval.low, frame.flop.low),
               high = std::min(interval.high, frame.flop.high);
  std::string text = fmt::format(
      "set object rectangle from {:.6g},graph 0 to {:.6g},graph 1 behind fillcolor rgb '#808080' "
      "fillstyle solid 0.13 noborder\n",
      low, high);
  const double median = c.crossing.median;
  if (median > frame.flop.low && median < frame.flop.high)
    text += vertical_line(median, frame, "dashtype 2 linewidth 1.4 linecolor rgb '#606060'");
  return text;
}

std::string data_end(const Frame& frame) {
  if (frame.flop.high < 10 * frame.data.high) return "";
  return vertical_line(frame.data.high, frame, "dashtype 3 linewidth 1.4 linecolor rgb '#909090'") +
         fmt::format(
             "set label 'data end' at {:.6g},graph 0.97 left offset 0.7,0 textcolor rgb "
             "'#707070' font 'Sans,13'\n",
             frame.data.high);
}

// one pair of families: the verdict below the title
std::string verdict_label(const ScalingAnalysis& analysis) {
  if (analysis.crossings.size() != 1) return "";
  std::string verdict = verdict_of(analysis.crossings[0], analysis);
  const std::size_t cut = verdict.find(": ");
  if (verdict.starts_with("not") && cut != verdict.npos) verdict = "crossing " + verdict;
  return fmt::format(
      "set label {} noenhanced at graph 0.5,graph 1.04 center textcolor rgb "
      "'#404040' font 'Sans,13'\n",
      gnuplot_text(verdict));
}

std::string data_block(const std::string& name, const std::vector<std::string>& lines) {
  std::string text = "$" + name + " << END\n";
  for (const std::string& line : lines) text += line + '\n';
  return text + "END\n";
}

std::string colour_box() {
  return "set palette defined (0 '#440154', 1 '#3B528B', 2 '#21918C', 3 '#8FD744')\n"
         "set logscale cb\nset format cb '10^{%T}'\nset cblabel 'parameters' offset 0.4,0\n"
         "set colorbox noborder\nset rmargin 11.5\n";
}

std::string points_data(std::size_t i, const FamilyAnalysis& family) {
  std::vector<std::string> lines;
  for (const ScalingPoint& p : family.points)
    lines.push_back(fmt::format("{:.6g} {:.6g} {:.6g}", p.flop(), p.loss, p.parameters));
  return data_block(fmt::format("points{}", i), lines);
}

// The bands, which gnuplot must not draw below the frame, and the curves, dashed beyond the data.
std::string curve_data(std::size_t i, const Curve& curve, const FamilyAnalysis& family,
                       const Frame& frame) {
  std::vector<std::string> band, inside, beyond;
  for (const auto& [flop, loss, interval] : curve.places) {
    const double least = frame.low / 10;  // a logarithm must exist
    band.push_back(fmt::format("{:.6g} {:.6g} {:.6g}", flop, std::max(interval.low, least),
                               std::max(interval.high, least)));
    const std::string line = fmt::format("{:.6g} {:.6g}", flop, std::max(loss, least));
    (flop <= family.flop.high ? inside : beyond).push_back(line);
  }
  if (!inside.empty() && !beyond.empty()) beyond.insert(beyond.begin(), inside.back());
  return data_block(fmt::format("band{}", i), band) +
         data_block(fmt::format("inside{}", i), inside) +
         data_block(fmt::format("beyond{}", i), beyond);
}

std::string family_title(const FamilyAnalysis& family, const ScalingAnalysis& analysis) {
  const char* curve = analysis.options.law == LawKind::chinchilla ? "compute-optimal" : "fit";
  const std::string what = fmt::format("{} and 95 % interval", curve);
  return gnuplot_text(family.name.empty() ? what : family.name + ", " + what);
}

}  // namespace

std::string scaling_script(const ScalingAnalysis& analysis) {
  Frame frame = frame_of(analysis);
  const auto& families = analysis.families;
  std::vector<Curve> curves;
  for (const FamilyAnalysis& family : families) curves.push_back(curve_of(family, frame.flop));
  fit_losses(frame, analysis, curves);
  std::string data, bands, lines, points;
  for (std::size_t i = 0; i < families.size(); ++i) {
    data += points_data(i, families[i]) + curve_data(i, curves[i], families[i], frame);
    const char* colour = colour_of(i, analysis);
    bands += fmt::format(", $band{} using 1:2:3 with filledcurves fillcolor rgb '#C8{}' notitle", i,
                         colour);
    lines += fmt::format(
        ", $inside{0} with lines linewidth 2.6 linecolor rgb '#{1}' title {2}"
        ", $beyond{0} with lines linewidth 2 dashtype 2 linecolor rgb '#{1}' notitle",
        i, colour, family_title(families[i], analysis));
    points += coloured_by_size(analysis)
                  ? fmt::format(
                        ", $points{} using 1:2:3 with points pointtype 7 pointsize 1.1 "
                        "linecolor palette notitle",
                        i)
                  : fmt::format(
                        ", $points{} using 1:2 with points pointtype 7 pointsize 1.4 "
                        "linecolor rgb '#{}' notitle",
                        i, colour);
  }
  std::string script = head(analysis, frame);
  if (coloured_by_size(analysis)) script += colour_box();
  for (const CrossingAnalysis& c : analysis.crossings)
    if (is_shown(c, analysis)) script += crossing_field(c, frame);
  script += data_end(frame) + verdict_label(analysis) + data;
  return script + "plot " + (bands + points + lines).substr(2) + '\n';
}

void draw_scaling(const ScalingAnalysis& analysis, const std::filesystem::path& out) {
  draw_with_gnuplot(scaling_script(analysis), out);
}

}  // namespace tern
