// A device that hangs while its process lives, and news that must not wait for a disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <thread>

#include "core/cpu/cpu_backend.h"
#include "tests/apps/meeting.h"
#include "tests/apps/rank_run.h"

namespace tern::test {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

void wait_for(ControlPlane& c, milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
    c.waiting();
    std::this_thread::sleep_for(milliseconds(10));
  }
}

constexpr RankLimits kShort{.timeout = 0.5, .grace = 5};

TEST(Fault310, ARankWhoseDeviceHangsIsNamed) {
  const TinyRun tiny;
  for (const char* rank : {"0", "1"}) {
    const std::string hang = std::string("hang:step=30,rank=") + rank;
    const Outcome outcome = run(
        tiny.command(rank, {"ranks.timeout=1", "ranks.grace=1"}, kTwo + Strings{"--inject", hang}),
        std::chrono::seconds(20));
    EXPECT_EQ(outcome.exit_code, 7) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(std::string("rank ") + rank +
                                       " did not catch up with the others within 1 s"));
    EXPECT_THAT(outcome.err, testing::Not(HasSubstr("is gone"))) << outcome.err;
    expect_good_checkpoint(tiny.directory(rank));
  }
}

TEST(Fault310, AStopSignalMeanwhileEndsTheRunWithinTheGrace) {
  const TinyRun tiny;
  Process process(
      tiny.command("hung", {"ranks.grace=1"}, kTwo + Strings{"--inject", "hang:rank=0,step=30"}));
  ASSERT_TRUE(process.wait_for("29/60"));
  std::this_thread::sleep_for(milliseconds(300));
  process.send(SIGTERM);
  const Outcome outcome = process.wait(std::chrono::seconds(20));
  EXPECT_EQ(outcome.exit_code, 7) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("of signal 15"));
  expect_good_checkpoint(tiny.directory("hung"));
}

// All are held up by one device: none is in an operation, so the devices tell which.
TEST(Fault310, TheDeviceThatIsBehindIsNamed) {
  const auto complaints = meet_all({.size = 3, .limits = kShort}, [&](ControlPlane& c) {
    CpuBackend on(1 << 16);
    c.watch()->follow([r = c.rank()] { return std::uint64_t(r == 1 ? 6 : 7); });
    c.agree({});
    const DeviceWork work(c, on.pool());
    wait_for(c, milliseconds(3000));
  });
  EXPECT_THAT(complaints[0], HasSubstr("rank 1 did not catch up with the others within 0.5 s"));
  EXPECT_EQ(complaints[1], "") << "rank 0 has said it";
}

TEST(Fault310, WhatGetsOnIsNoHang) {
  const auto complaints = meet_all({.size = 2, .limits = kShort}, [&](ControlPlane& c) {
    CpuBackend on(1 << 16);
    {
      const DeviceWork work(c, on.pool());
      for (int i = 0; i < 12; ++i) {
        const Tensor t(on, {1}, DType::f32);
        wait_for(c, milliseconds(100));
      }
    }
    wait_for(c, milliseconds(1200));  // what is no work of a device may last
    c.agree({});
  });
  EXPECT_THAT(complaints, testing::Each(""));
}

// Rank 1's disk needs some seconds for its shard, and its last words used to wait for that.
TEST(Fault312, TheNewsOfAFailedRankDoesNotWaitForItsDisk) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer must be loaded first";
#endif
  const TinyRun tiny;
  const int port = free_port();
  const Command both = tiny.command("failed", kOwners, {"--inject", "fail:rank=1,step=21"});
  Command slow = one_of_two(both, 1, port);
  slow.env["LD_PRELOAD"] = sibling_program("libslow_fsync.so");
  Process second(slow);
  const Outcome first = run(one_of_two(both, 0, port));
  const auto heard = std::chrono::steady_clock::now();
  EXPECT_EQ(first.exit_code, 1) << first.err;
  EXPECT_THAT(first.err, HasSubstr("rank 1 ended: injected"));
  EXPECT_EQ(second.wait().exit_code, 1);
  EXPECT_GT(std::chrono::steady_clock::now() - heard, milliseconds(1000)) << "after its disk";
}

// What ranks say at a time is not bounded by a frame: 120 layers have a long manifest.
TEST(Fault313, LongMessagesAreSentInPieces) {
  for (const std::size_t size : {std::size_t(0), kMostFrameBytes - 1, kMostFrameBytes,
                                 kMostFrameBytes + 1, 3 * kMostFrameBytes + 5}) {
    const auto complaints = meet_all({.size = 3}, [&](ControlPlane& c) {
      const std::string mine(size, char('a' + c.rank()));
      const auto all = c.agree(bytes_of(mine));
      for (int r = 0; r < 3; ++r)
        EXPECT_EQ(text_of(all.at(std::size_t(r))), std::string(size, char('a' + r)));
      const auto gathered = c.to_first(bytes_of(mine));
      ASSERT_EQ(gathered.size(), c.first() ? 3u : 0u);
      for (std::size_t r = 0; r < gathered.size(); ++r)
        EXPECT_EQ(text_of(gathered[r]), std::string(size, char('a' + int(r))));
    });
    EXPECT_THAT(complaints, testing::Each(""));
  }
}

TEST(Fault313, AMessageBeyondEveryManifestIsRefused) {
  const auto complaints = meet_all({.size = 2}, [&](ControlPlane& c) {
    c.agree(Bytes(c.rank() == 1 ? kMostAgreedBytes + 1 : 0));
  });
  EXPECT_THAT(complaints[1], HasSubstr("expected at most"));
}

TEST(Fault313, ADeepModelIsSavedByItsOwners) {
  const TinyRun tiny;
  const Strings deep =
      kOwners + Strings{"model.num_hidden_layers=120",   "model.hidden_size=8",
                        "model.intermediate_size=8",     "run.steps=1",
                        "logging.validation_interval=0", "logging.sample_interval=0"};
  expect_success(tiny.command("deep", deep, kTwo));
  expect_good_checkpoint(tiny.directory("deep"));
}

}  // namespace
}  // namespace tern::test
