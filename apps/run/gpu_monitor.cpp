#include "apps/run/gpu_monitor.h"

#include <dlfcn.h>
#include <signal.h>

#include <cmath>
#include <condition_variable>
#include <thread>

namespace tern {
namespace {

constexpr std::chrono::seconds kLongestEnd{1};

// The part of NVML's binary interface that is used here, as nvml.h declares it.
struct Nvml {
  using Result = int;  // 0: success
  using Device = struct NvmlDevice*;
  struct Utilization {
    unsigned gpu, memory;  // percent
  };
  struct Memory {
    unsigned long long total, free, used;  // bytes
  };
  static constexpr int kGpuSensor = 0, kMultiprocessorClock = 1;

  Result (*init)() = nullptr;
  Result (*shutdown)() = nullptr;
  const char* (*error_text)(Result) = nullptr;
  Result (*find)(const char* pci, Device*) = nullptr;
  Result (*mig_mode)(Device, unsigned* now, unsigned* later) = nullptr;
  Result (*utilization)(Device, Utilization*) = nullptr;
  Result (*power)(Device, unsigned* milliwatts) = nullptr;
  Result (*temperature)(Device, int sensor, unsigned* celsius) = nullptr;
  Result (*clock)(Device, int which, unsigned* megahertz) = nullptr;
  Result (*memory)(Device, Memory*) = nullptr;
  Result (*energy)(Device, unsigned long long* millijoules) = nullptr;  // Volta or newer
};

template <class Function>
void look_up(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
}

// Stays open: the driver's library may have threads of its own. Why not, or "".
std::string open_nvml(const std::string& library, Nvml& nvml) {
  void* opened = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!opened) return dlerror();
  look_up(opened, "nvmlInit_v2", nvml.init);
  look_up(opened, "nvmlShutdown", nvml.shutdown);
  look_up(opened, "nvmlErrorString", nvml.error_text);
  look_up(opened, "nvmlDeviceGetHandleByPciBusId_v2", nvml.find);
  look_up(opened, "nvmlDeviceGetMigMode", nvml.mig_mode);
  look_up(opened, "nvmlDeviceGetUtilizationRates", nvml.utilization);
  look_up(opened, "nvmlDeviceGetPowerUsage", nvml.power);
  look_up(opened, "nvmlDeviceGetTemperature", nvml.temperature);
  look_up(opened, "nvmlDeviceGetClockInfo", nvml.clock);
  look_up(opened, "nvmlDeviceGetMemoryInfo", nvml.memory);
  look_up(opened, "nvmlDeviceGetTotalEnergyConsumption", nvml.energy);
  if (nvml.init && nvml.shutdown && nvml.error_text && nvml.find) return "";
  return library + ": not the library that was expected";
}

// A GPU through NVML, which is shut down with it.
class Probe {
 public:
  Probe(const std::string& pci, const std::string& library) {
    problem_ = open_nvml(library, nvml_);
    if (!problem_.empty()) return;
    ready_ = succeeded(nvml_.init());
    if (!ready_ || !succeeded(nvml_.find(pci.c_str(), &device_))) return;
    unsigned now = 0, later = 0;
    if (nvml_.mig_mode && nvml_.mig_mode(device_, &now, &later) == 0 && now != 0)
      problem_ = "the GPU is divided (MIG), and its readings are of all parts together";
  }
  ~Probe() {
    if (ready_) nvml_.shutdown();
  }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  const std::string& problem() const { return problem_; }

  GpuReadings read() const {
    GpuReadings r;
    Nvml::Utilization utilization{};
    Nvml::Memory memory{};
    unsigned value = 0;
    const auto got = [](auto function, auto... arguments) {
      return function && function(arguments...) == 0;
    };
    if (got(nvml_.utilization, device_, &utilization)) r.utilization = utilization.gpu / 100.0;
    if (got(nvml_.power, device_, &value)) r.power = value / 1000.0;
    if (got(nvml_.temperature, device_, Nvml::kGpuSensor, &value)) r.temperature = value;
    if (got(nvml_.clock, device_, Nvml::kMultiprocessorClock, &value)) r.clock = value;
    if (got(nvml_.memory, device_, &memory)) r.memory_bytes = double(memory.used);
    return r;
  }
  std::optional<double> joules() const {
    unsigned long long millijoules = 0;
    if (!problem_.empty() || !nvml_.energy || nvml_.energy(device_, &millijoules) != 0)
      return std::nullopt;
    return double(millijoules) / 1000;
  }

 private:
  bool succeeded(Nvml::Result result) {
    if (result != 0) problem_ = std::string("NVML: ") + nvml_.error_text(result);
    return result == 0;
  }

  Nvml nvml_;
  Nvml::Device device_ = nullptr;
  bool ready_ = false;
  std::string problem_;
};

constexpr double GpuReadings::*kFields[] = {&GpuReadings::utilization, &GpuReadings::power,
                                            &GpuReadings::temperature, &GpuReadings::clock,
                                            &GpuReadings::memory_bytes};

// Sums and counts, field by field: one may fail where others do not.
class Mean {
 public:
  void add(const GpuReadings& r) {
    for (const auto field : kFields) {
      if (std::isnan(r.*field)) continue;
      sum_.*field = counted_.*field > 0 ? sum_.*field + r.*field : r.*field;
      counted_.*field = counted_.*field > 0 ? counted_.*field + 1 : 1;
    }
    ++readings_;
  }
  bool empty() const { return readings_ == 0; }
  GpuReadings value() const {
    GpuReadings mean;
    for (const auto field : kFields) mean.*field = sum_.*field / counted_.*field;
    return mean;
  }

 private:
  GpuReadings sum_{}, counted_{};  // unknown: none
  int readings_ = 0;
};

}  // namespace

// Shared with the thread, which outlives the monitor where the driver hangs.
struct GpuMonitor::State {
  State(const std::string& pci, const std::string& library, std::chrono::milliseconds time_between)
      : probe(std::in_place, pci, library), between(time_between) {}

  std::optional<Probe> probe;
  const std::chrono::milliseconds between;
  std::mutex mutex;
  std::condition_variable changed;
  bool stop = false, ended = false;
  Mean mean;
  GpuReadings last;

  void run() {
    for (bool stopped = false; !stopped;) {
      const GpuReadings now = probe->read();
      std::unique_lock lock(mutex);
      mean.add(now);
      stopped = changed.wait_for(lock, between, [&] { return stop; });
    }
    probe.reset();
    const std::scoped_lock lock(mutex);
    ended = true;
    changed.notify_all();
  }
};

GpuMonitor::GpuMonitor(const std::string& pci, const std::string& library,
                       std::chrono::milliseconds between)
    : state_(std::make_shared<State>(pci, library, between)), problem_(state_->probe->problem()) {
  if (!problem_.empty()) {
    state_.reset();
    return;
  }
  // Signals are for the training thread: here they would only interrupt a wait.
  sigset_t every, before;
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, &before);
  std::thread([state = state_] { state->run(); }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

GpuMonitor::~GpuMonitor() {
  if (!state_) return;
  std::unique_lock lock(state_->mutex);
  state_->stop = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, kLongestEnd, [&] { return state_->ended; });
}

GpuReadings GpuMonitor::mean_since_last_time() {
  if (!state_) return {};
  const std::scoped_lock lock(state_->mutex);
  if (!state_->mean.empty()) state_->last = std::exchange(state_->mean, {}).value();
  return state_->last;
}

struct GpuEnergy::State {
  Probe probe;
};

GpuEnergy::GpuEnergy(const std::string& pci, const std::string& library)
    : state_(new State{.probe{pci, library}}) {}

GpuEnergy::~GpuEnergy() = default;

std::optional<double> GpuEnergy::joules() const {
  return state_->probe.joules();
}

}  // namespace tern
