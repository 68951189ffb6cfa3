#include "apps/run/time_limit.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace tern {
namespace {

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

double seconds_since_process_start() {
  static const double start = process_start();
  return std::max(0.0, boot_seconds() - start);
}

}  // namespace tern
