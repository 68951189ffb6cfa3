// Readings of a GPU through a stand-in for NVML.
#include "apps/run/gpu_monitor.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "tests/support/process.h"

namespace tern {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr const char* kPci = "0000:17:00.0";

std::string stub() {
  return sibling_program("libnvml_stub.so");
}

// How many have begun to use the library and not ended.
int users() {
  void* library = dlopen(stub().c_str(), RTLD_NOW);
  return reinterpret_cast<int (*)()>(dlsym(library, "stub_users"))();
}

class GpuMonitorTest : public testing::Test {
 protected:
  ~GpuMonitorTest() override { unsetenv("TERN_NVML_STUB"); }
  static void behave(const char* how) { setenv("TERN_NVML_STUB", how, 1); }
};

// Asks until there are readings: a thread takes them.
GpuReadings first_readings(GpuMonitor& monitor) {
  for (int i = 0; i < 500; ++i) {
    const GpuReadings r = monitor.mean_since_last_time();
    if (!std::isnan(r.temperature)) return r;
    std::this_thread::sleep_for(10ms);
  }
  ADD_FAILURE() << "no readings";
  return {};
}

TEST_F(GpuMonitorTest, ReadsInUnitsThatAreNamed) {
  {
    GpuMonitor monitor(kPci, stub());
    EXPECT_EQ(monitor.problem(), "");
    EXPECT_EQ(users(), 1);
    const GpuReadings r = first_readings(monitor);
    EXPECT_GE(r.utilization, 0.5);
    EXPECT_LE(r.utilization, 1);
    EXPECT_DOUBLE_EQ(r.power, 651.25);
    EXPECT_EQ(r.temperature, 61);
    EXPECT_EQ(r.clock, 1755);
    EXPECT_EQ(r.memory_bytes, double(41ull << 30));
    EXPECT_EQ(monitor.mean_since_last_time().clock, 1755) << "nothing new: the last again";
  }
  EXPECT_EQ(users(), 0) << "not shut down";
}

TEST_F(GpuMonitorTest, AveragesOverTheTimeBetween) {
  GpuMonitor monitor(kPci, stub(), 1ms);
  first_readings(monitor);
  std::this_thread::sleep_for(200ms);
  EXPECT_NEAR(monitor.mean_since_last_time().utilization, 0.75, 0.2);  // of 50 and 100 % in turn
}

TEST_F(GpuMonitorTest, WhatIsRefusedIsUnknownAlone) {
  behave("refuses");
  GpuMonitor monitor(kPci, stub());
  const GpuReadings r = first_readings(monitor);
  EXPECT_TRUE(std::isnan(r.utilization));
  EXPECT_TRUE(std::isnan(r.power));
  EXPECT_EQ(r.temperature, 61);
}

TEST_F(GpuMonitorTest, WithoutNvmlItSaysWhyAndReadsNothing) {
  const auto problem = [](const char* pci, const std::string& library) {
    GpuMonitor monitor(pci, library);
    EXPECT_TRUE(std::isnan(monitor.mean_since_last_time().temperature));
    return monitor.problem();
  };
  EXPECT_THAT(problem(kPci, "libnowhere.so.1"), HasSubstr("libnowhere.so.1"));
  EXPECT_THAT(problem(kPci, "libm.so.6"), HasSubstr("not the library"));
  EXPECT_EQ(problem("0000:99:00.0", stub()), "NVML: Not Found");
  behave("mig");
  EXPECT_THAT(problem(kPci, stub()), HasSubstr("MIG"));
  behave("broken");
  EXPECT_EQ(problem(kPci, stub()), "NVML: Driver Not Loaded");
  EXPECT_EQ(users(), 0) << "not shut down";
}

TEST_F(GpuMonitorTest, EnergyIsInJoulesOrUnknown) {
  {
    const GpuEnergy energy(kPci, stub());
    const double before = energy.joules().value();
    EXPECT_GT(before, 7e9);
    EXPECT_DOUBLE_EQ(energy.joules().value() - before, 12.5);
    EXPECT_EQ(users(), 1);
  }
  EXPECT_EQ(users(), 0) << "not shut down";
  EXPECT_EQ(GpuEnergy("0000:99:00.0", stub()).joules(), std::nullopt);
  EXPECT_EQ(GpuEnergy(kPci, "libnowhere.so.1").joules(), std::nullopt);
  EXPECT_EQ(GpuEnergy(kPci, "libm.so.6").joules(), std::nullopt);
  for (const char* how : {"refuses", "mig", "broken"}) {
    behave(how);
    EXPECT_EQ(GpuEnergy(kPci, stub()).joules(), std::nullopt) << how;
  }
  EXPECT_EQ(users(), 0);
}

}  // namespace
}  // namespace tern
