#include "runtime/quantities.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>

namespace tern {
namespace {

// three significant digits of 1 <= |x| < 1000, without a zero at the end: 1.2, 18.4, 182
std::string three_digits(double x) {
  const double size = std::fabs(x);
  std::string text = fmt::format("{:.{}f}", x, size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text;
}

struct Scaled {
  double value;
  int thousands;  // how often it was divided by 1000
};

// so that the value shows as fewer than four digits: 999600 is 1.00M, not 1000k
Scaled scaled(double x, int limit) {
  int thousands = 0;
  for (; std::fabs(x) >= 999.5 && thousands < limit; ++thousands) x /= 1000;
  return {x, thousands};
}

}  // namespace

std::string count_text(double n) {
  if (!std::isfinite(n)) return "?";
  const Scaled s = scaled(n, 4);
  static constexpr const char* kSuffix[] = {"", "k", "M", "B", "T"};
  return three_digits(s.value) + kSuffix[s.thousands];
}

std::string bytes_text(double bytes) {
  if (!std::isfinite(bytes)) return "?";
  const Scaled s = scaled(bytes, 5);
  static constexpr const char* kSuffix[] = {" B", " kB", " MB", " GB", " TB", " PB"};
  return three_digits(s.value) + kSuffix[s.thousands];
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e12) return "?";
  if (seconds < 0.9995) return fmt::format("{:.0f}ms", seconds * 1e3);
  if (seconds < 9.95) return fmt::format("{:.1f}s", seconds);
  const auto s = std::int64_t(std::llround(seconds));
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  if (s < 86400) return fmt::format("{}h{:02}m", s / 3600, s % 3600 / 60);
  return fmt::format("{}d{:02}h", s / 86400, s % 86400 / 3600);
}

std::string share_text(double share) {
  if (!std::isfinite(share)) return "?";
  const double percent = 100 * share;
  return fmt::format("{:.{}f}%", percent, percent < 9.95 && percent != 0 ? 1 : 0);
}

}  // namespace tern
