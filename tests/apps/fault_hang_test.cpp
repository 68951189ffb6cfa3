// A device that hangs while its process lives, and news that must not wait for a disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <thread>

#include "tests/apps/rank_run.h"

namespace tern::test {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

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
