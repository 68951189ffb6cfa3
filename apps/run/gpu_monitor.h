// Readings of a GPU in training, by NVIDIA's management library (NVML). The library comes with
// the driver and is opened at run time; where it is missing or refuses, readings are unknown.
#pragma once

#include <chrono>

#include "apps/console/reports.h"

namespace tern {

// A thread of its own reads once a second, so that a step never waits for the driver.
class GpuMonitor {
 public:
  // pci: the device's address on the bus, "0000:17:00.0"; between: two readings
  explicit GpuMonitor(const std::string& pci, const std::string& library = "libnvidia-ml.so.1",
                      std::chrono::milliseconds between = std::chrono::seconds(1));
  ~GpuMonitor();  // waits for at most a second, should the driver hang
  GpuMonitor(const GpuMonitor&) = delete;
  GpuMonitor& operator=(const GpuMonitor&) = delete;

  // Why there are no readings, or "".
  const std::string& problem() const { return problem_; }
  // Means over the seconds since the last call; if none has passed, the last means again.
  GpuReadings mean_since_last_time();

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::string problem_;
};

}  // namespace tern
