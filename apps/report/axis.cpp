#include "apps/report/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace tern {
namespace {

struct Prefix {
  double size;
  const char* name;
};
constexpr std::array<Prefix, 8> kPrefixes = {{{1e24, "Y"},
                                              {1e21, "Z"},
                                              {1e18, "E"},
                                              {1e15, "P"},
                                              {1e12, "T"},
                                              {1e9, "G"},
                                              {1e6, "M"},
                                              {1e3, "k"}}};

// the prefix for numbers as large as this one
Prefix prefix_for(double largest) {
  if (largest >= 1e4)
    for (const Prefix& p : kPrefixes)
      if (largest >= p.size) return p;
  return {1, ""};
}

// decimals that tell multiples of a step apart
int decimals_of(double step) {
  return std::clamp(int(-std::floor(std::log10(step) + 1e-9)), 0, 12);
}

// 'value' among numbers up to 'largest' that lie 'step' apart
std::string label_of(double value, double step, double largest) {
  if (std::abs(value) < step * 1e-6) return "0";
  if (largest >= 1e27) return fmt::format("{:.0e}", value);
  if (largest < 1e-2) {
    const int exponent = int(std::floor(std::log10(largest) + 1e-9));
    const double unit = std::pow(10.0, exponent);
    return fmt::format("{:.{}f}e{}", value / unit, decimals_of(step / unit), exponent);
  }
  const auto [size, name] = prefix_for(largest);
  return fmt::format("{:.{}f}{}", value / size, decimals_of(step / size), name);
}

// 1, 2 or 5 times a power of ten, at least 'least'
double round_step(double least) {
  const double decade = std::pow(10.0, std::floor(std::log10(least)));
  for (const double m : {1.0, 2.0, 5.0})
    if (m * decade >= least * (1 - 1e-9)) return m * decade;
  return 10 * decade;
}

std::vector<AxisMark> even_marks(double low, double high, int count) {
  std::vector<AxisMark> marks;
  const double step = round_step((high - low) / count);
  const double largest = std::max(std::abs(low), std::abs(high));
  if (!(step > 0) || largest / step > 1e12) return marks;
  for (double n = std::ceil(low / step - 1e-9); n * step <= high + step * 1e-9; ++n)
    marks.push_back({n * step, label_of(n * step, step, largest)});
  return marks;
}

// Powers of ten, and 3 or 2 and 5 times these where there is room.
std::vector<AxisMark> decade_marks(double low, double high, int count) {
  const double decades = std::log10(high / low);
  std::vector<double> factors = {1};
  if (decades < 1.5)
    factors = {1, 2, 5};
  else if (decades * 2 <= count + 1)
    factors = {1, 3};
  const int stride = std::max(1, int(decades / count));
  std::vector<AxisMark> marks;
  for (int e = int(std::floor(std::log10(low))); std::pow(10.0, e) <= high; e += stride)
    for (const double m : factors) {
      const double value = m * std::pow(10.0, e);
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9))
        marks.push_back({value, label_of(value, value, value)});
    }
  return marks;
}

}  // namespace

double ChartAxis::share(double value) const {
  if (log) return std::log(value / low) / std::log(high / low);
  return (value - low) / (high - low);
}

std::vector<AxisMark> ChartAxis::marks(int count) const {
  if (!log) return even_marks(low, high, count);
  // less than a decade hardly differs from a linear axis
  return high / low < 7 ? even_marks(low, high, count) : decade_marks(low, high, count);
}

std::string short_number(double value, int digits) {
  if (!std::isfinite(value)) return "–";
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size < 1e-3 || size >= 1e27) {
    const int exponent = int(std::floor(std::log10(size)));
    return fmt::format("{:.{}g}e{}", value / std::pow(10.0, exponent), digits, exponent);
  }
  const auto [unit, name] = prefix_for(size);
  return fmt::format("{:.{}g}{}", value / unit, std::max(digits, size < 1e4 && size >= 1e3 ? 4 : 0),
                     name);
}

}  // namespace tern
