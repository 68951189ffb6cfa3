#include "apps/run/pace.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>

namespace tern {
namespace {

double ratio(double a, double b) {
  return b > 0 ? a / b : std::numeric_limits<double>::quiet_NaN();
}

double boot_seconds() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

// field 22 of /proc/self/stat, in seconds since boot; now if it cannot be had
double process_start() {
  std::ifstream file("/proc/self/stat");
  const std::string stat{std::istreambuf_iterator<char>(file), {}};
  const std::size_t name_end = stat.rfind(')');  // the name before may hold anything
  if (name_end == std::string::npos) return boot_seconds();
  std::istringstream fields(stat.substr(name_end + 1));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;
  try {
    return std::stod(field) / double(sysconf(_SC_CLK_TCK));
  } catch (const std::exception&) {
    return boot_seconds();
  }
}

}  // namespace

void Pace::add_step(double seconds, std::int64_t tokens) {
  seconds = std::max(0.0, seconds);
  if (steps_++ == 0) {
    first_ = seconds;
    return;
  }
  timed_ += seconds;
  trained_ += double(tokens);
  seconds_.add(seconds);
  tokens_.add(double(tokens));
}

void Pace::add_pause(double seconds) {
  if (steps_ > 0) paused_ += std::max(0.0, seconds);
}

double Pace::tokens_per_second() const {
  return ratio(tokens_.value(), seconds_.value());
}

double Pace::mean_tokens_per_second() const {
  return ratio(trained_, timed_);
}

double Pace::seconds_left(std::int64_t steps_left) const {
  const double pauses = timed_ > 0 ? paused_ / timed_ : 0;
  return double(std::max<std::int64_t>(0, steps_left)) * seconds_.value() * (1 + pauses);
}

double seconds_since_process_start() {
  static const double start = process_start();
  return std::max(0.0, boot_seconds() - start);
}

}  // namespace tern
