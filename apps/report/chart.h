// Line charts of a report: drawn as SVG over tokens, and the same curves as JSON, from which the
// script of the page draws them again over another axis.
#pragma once

#include <cmath>
#include <span>
#include <string>
#include <vector>

namespace tern {

// What the x axis of a run may count, at some of its steps, in their order.
struct RunClock {
  std::vector<double> steps{}, tokens{}, seconds{};
  double flop_per_token = NAN;

  double tokens_at(double step) const;  // between two known steps in proportion
};

struct ChartPoint {
  double step = 0, value = 0;
};
using ChartPoints = std::vector<ChartPoint>;  // by step; finite

// At most about `most` of them, with the first, the last, and the lowest and highest of every
// stretch.
ChartPoints thinned(const ChartPoints& points, std::size_t most);

enum class Mark { line, faint, dots };

struct Series {
  std::size_t run = 0;  // decides the colour
  Mark mark = Mark::line;
  ChartPoints points{};
};

// Something that happened to a run.
struct ChartEvent {
  std::size_t run = 0;
  double step = 0;
  std::string text{};
};

// What the y axis shows of the values.
enum class Fit {
  all,
  from_zero,
  without_first_fall,  // a loss: else all after its first fall is squeezed into a corner
};

struct Chart {
  std::string title{}, unit{};
  Fit fit = Fit::all;
  bool log = false;   // the y axis
  bool wide = false;  // a row of its own
  std::vector<Series> series{};
  std::vector<ChartEvent> events{};
};

// <figure>; number: of the chart in the page's data
std::string chart_html(const Chart& chart, std::size_t number, std::span<const RunClock> clocks);

// a line in the colour of a run, for legends
std::string run_line(std::size_t run);

std::string chart_json(const Chart& chart);
std::string clock_json(const RunClock& clock);  // the inner part of an object

}  // namespace tern
