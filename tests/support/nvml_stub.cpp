// Stands in for libnvidia-ml.so.1 in tests: the functions that apps/run/gpu_monitor looks up.
// TERN_NVML_STUB says how it behaves: "broken", "mig", "refuses" (neither power, energy nor
// utilisation), or, not set, as with a GPU at work at 0000:17:00.0.
#include <cstdlib>
#include <string_view>

namespace {

int users = 0;
unsigned asked = 0;

bool is(std::string_view behaviour) {
  const char* now = std::getenv("TERN_NVML_STUB");
  return now && now == behaviour;
}

}  // namespace

extern "C" {

int stub_users() {
  return users;
}

int nvmlInit_v2() {
  if (is("broken")) return 9;
  ++users;
  return 0;
}

int nvmlShutdown() {
  --users;
  return 0;
}

const char* nvmlErrorString(int error) {
  return error == 9 ? "Driver Not Loaded" : "Not Found";
}

int nvmlDeviceGetHandleByPciBusId_v2(const char* pci, void** device) {
  *device = &asked;
  return std::string_view(pci) == "0000:17:00.0" ? 0 : 6;
}

int nvmlDeviceGetMigMode(void*, unsigned* now, unsigned* later) {
  *now = *later = is("mig");
  return is("refuses") ? 3 : 0;
}

int nvmlDeviceGetUtilizationRates(void*, unsigned* percent) {
  percent[0] = asked++ % 2 == 0 ? 50 : 100;
  percent[1] = 7;
  return is("refuses") ? 3 : 0;
}

int nvmlDeviceGetPowerUsage(void*, unsigned* milliwatts) {
  *milliwatts = 651'250;
  return is("refuses") ? 4 : 0;
}

int nvmlDeviceGetTemperature(void*, int sensor, unsigned* celsius) {
  *celsius = 61;
  return sensor == 0 ? 0 : 2;
}

int nvmlDeviceGetClockInfo(void*, int clock, unsigned* megahertz) {
  *megahertz = clock == 1 ? 1755 : 345;
  return 0;
}

int nvmlDeviceGetMemoryInfo(void*, unsigned long long* total_free_used) {
  total_free_used[0] = 141ull << 30;
  total_free_used[1] = 100ull << 30;
  total_free_used[2] = 41ull << 30;
  return 0;
}

// 12.5 J more each time
int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* millijoules) {
  static unsigned long long total = 7'000'000'000'000;  // more than 32 bits hold
  *millijoules = total += 12'500;
  return is("refuses") ? 3 : 0;
}

}  // extern "C"
