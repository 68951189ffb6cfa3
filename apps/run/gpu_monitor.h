// Readings of a GPU in training, and its energy, by NVIDIA's management library (NVML). The library
// comes with the driver and is opened at run time; where it is missing or refuses, readings are
// unknown.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "apps/console/reports.h"

namespace tern {

inline constexpr const char* kNvml = "libnvidia-ml.so.1";

// A thread of its own reads once a second, so that a step never waits for the driver.
class GpuMonitor {
 public:
  // pci: the device's address on the bus, "0000:17:00.0"; between: two readings
  explicit GpuMonitor(const std::string& pci, const std::string& library = kNvml,
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

// What a GPU has consumed. Reads when it is asked, on the thread that asks.
class GpuEnergy {
 public:
  explicit GpuEnergy(const std::string& pci, const std::string& library = kNvml);
  ~GpuEnergy();
  GpuEnergy(const GpuEnergy&) = delete;
  GpuEnergy& operator=(const GpuEnergy&) = delete;

  // Since the driver was loaded, of the whole card. nullopt: no NVML, a GPU that is divided (MIG),
  // or one that does not count.
  std::optional<double> joules() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tern
