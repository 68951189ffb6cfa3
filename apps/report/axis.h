// The axis of a chart: its range, its marks and their labels. The script of the page has the same.
#pragma once

#include <string>
#include <vector>

namespace tern {

struct AxisMark {
  double value = 0;
  std::string label{};
};

// low < high, both positive where it is logarithmic
struct ChartAxis {
  double low = 0, high = 1;
  bool log = false;

  double share(double value) const;  // 0 at low, 1 at high
  // about `count` marks in steps of 1, 2 or 5 times a power of ten; decades where it is logarithmic
  std::vector<AxisMark> marks(int count) const;
};

// 'value' for people, with so many significant digits: "0.0031", "4.2e-6", "12k", "3.1M"
std::string short_number(double value, int digits = 3);

}  // namespace tern
