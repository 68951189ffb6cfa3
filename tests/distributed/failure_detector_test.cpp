// Ranks that are gone, behind, or held up by their device, as threads of one process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "core/cpu/cpu_backend.h"
#include "tests/distributed/rank_threads.h"

namespace tern {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

TEST(Fault62, ARankThatIsGoneIsNamedAtOnce) {
  const auto begin = std::chrono::steady_clock::now();
  const auto complaints = run_ranks({.size = 3}, [&](ControlPlane& c) {
    c.all_gather({});
    if (c.rank() == 1) throw Error(Fault::memory, "out of memory");  // without an announcement
    c.all_gather({});
  });
  EXPECT_THAT(complaints[0], HasSubstr("rank 1 is gone"));
  EXPECT_EQ(complaints[2], "") << "rank 0 prints it";
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(Fault62, AnAnnouncedFailureHasItsCause) {
  std::vector<Fault> faults(3);
  const auto complaints = run_ranks({.size = 3}, [&](ControlPlane& c) {
    if (c.rank() == 1)
      return c.failure_detector()->announce_failure(Fault::memory, "out of memory");
    try {
      c.all_gather({});
    } catch (const Error& e) {
      faults[std::size_t(c.rank())] = e.fault;
      throw;
    }
  });
  EXPECT_THAT(complaints[0], HasSubstr("rank 1 ended: out of memory"));
  EXPECT_EQ(faults[0], Fault::memory);
  EXPECT_EQ(faults[2], Fault::memory);
}

TEST(Fault62, ARankThatIsBehindIsNamedAfterTheTimeOut) {
  const auto complaints =
      run_ranks({.size = 3, .detector = {.timeout = 1, .grace = 5}}, [&](ControlPlane& c) {
        if (c.rank() == 2) std::this_thread::sleep_for(std::chrono::seconds(2));
        c.all_gather({});
      });
  EXPECT_THAT(complaints[0], HasSubstr("rank 2 did not catch up with the others within 1 s"));
}

TEST(Fault62, AnOperationWithinAnotherDoesNotEndTheWait) {
  const auto complaints =
      run_ranks({.size = 2, .detector = {.timeout = 0.5, .grace = 5}}, [&](ControlPlane& c) {
        const CollectiveScope scope(c);
        c.broadcast("an id");
        const auto begin = std::chrono::steady_clock::now();
        if (c.rank() == 1) return std::this_thread::sleep_for(std::chrono::seconds(2));
        while (std::chrono::steady_clock::now() - begin < std::chrono::seconds(4)) c.poll();
      });
  EXPECT_THAT(complaints[0], HasSubstr("an operation of all ranks did not end within 0.5 s"));
}

// Otherwise the detector would end this process before the cause is printed.
TEST(Fault62, TimeSpentOnTheLastSavesDoesNotCount) {
  const auto complaints =
      run_ranks({.size = 2, .detector = {.timeout = 5, .grace = 0.5}}, [&](ControlPlane& c) {
        if (c.rank() == 1) throw Error(Fault::memory, "out of memory");
        EXPECT_NE(complaint([&] { c.all_gather({}); }), "");
        c.failure_detector()->finishing();
        std::this_thread::sleep_for(std::chrono::milliseconds(1200));
        c.failure_detector()->finishing(false);
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
      });
  EXPECT_EQ(complaints[0], "");
}

void wait_for(ControlPlane& c, milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
    c.poll();
    std::this_thread::sleep_for(milliseconds(10));
  }
}

const DetectorOptions kShort{.timeout = 0.5, .grace = 5};

// One device blocks all ranks and none is in an operation: the counts of the devices name it.
TEST(Fault310, TheDeviceThatIsBehindIsNamed) {
  const auto complaints = run_ranks({.size = 3, .detector = kShort}, [&](ControlPlane& c) {
    CpuBackend on(1 << 16);
    c.failure_detector()->follow([r = c.rank()] { return std::uint64_t(r == 1 ? 6 : 7); });
    c.all_gather({});
    const DeviceWork work(c, on.pool());
    wait_for(c, milliseconds(3000));
  });
  EXPECT_THAT(complaints[0], HasSubstr("rank 1 did not catch up with the others within 0.5 s"));
  EXPECT_EQ(complaints[1], "") << "rank 0 prints it";
}

TEST(Fault310, SlowProgressIsNoHang) {
  const auto complaints = run_ranks({.size = 2, .detector = kShort}, [&](ControlPlane& c) {
    CpuBackend on(1 << 16);
    {
      const DeviceWork work(c, on.pool());
      for (int i = 0; i < 12; ++i) {
        const Tensor t(on, {1}, DType::f32);
        wait_for(c, milliseconds(100));
      }
    }
    wait_for(c, milliseconds(1200));  // outside of device work there is no limit
    c.all_gather({});
  });
  EXPECT_THAT(complaints, testing::Each(""));
}

}  // namespace
}  // namespace tern
