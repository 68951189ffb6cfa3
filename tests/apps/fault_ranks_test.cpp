// Several processes that train one model, and what happens to them; rows of docs/faults.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "apps/system/child.h"
#include "tests/apps/rank_run.h"

namespace tern::test {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

TEST(Fault06, ASignalToOneRankStopsAllAtTheSameStep) {
  const TinyRun tiny;
  Process process(tiny.command("stopped", {"run.steps=100000"}, kTwo));
  ASSERT_TRUE(process.wait_for(" 30/100000"));
  kill(children(process.id()).at(1), SIGUSR1);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("stopped by signal 10 to rank 1"));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  expect_good_checkpoint(tiny.directory("stopped"));
}

TEST(Fault06, SignalsToTheLauncherAndTheTimeLimitStopAll) {
  const TinyRun tiny;
  Process process(tiny.command("stopped", {"run.steps=100000"}, kTwo));
  ASSERT_TRUE(process.wait_for(" 30/100000"));
  process.send(SIGTERM);
  EXPECT_EQ(process.wait().exit_code, 75);
  expect_good_checkpoint(tiny.directory("stopped"));
  const Outcome limited =
      run(tiny.command("limited", {"run.steps=100000", "run.time_limit=2"}, kTwo));
  EXPECT_EQ(limited.exit_code, 75) << limited.err;
  expect_good_checkpoint(tiny.directory("limited"));
}

TEST(Fault09, ASignalWhileARankHangsEndsTheRunWithinTheGrace) {
  const TinyRun tiny;
  Process process(tiny.command("hung", {"ranks.grace=1"},
                               kTwo + Strings{"--inject", "stop:rank=1,step=30,seconds=60"}));
  ASSERT_TRUE(process.wait_for("29/60"));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  process.send(SIGTERM);
  const Outcome outcome = process.wait(std::chrono::seconds(20));
  EXPECT_EQ(outcome.exit_code, 7) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("rank 1 did not catch up"));
  EXPECT_THAT(outcome.err, HasSubstr("the last good checkpoint is of step 20"));
  expect_good_checkpoint(tiny.directory("hung"));
}

TEST(Fault11, AStoppedRankIsNotDeadBelowTheTimeOut) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("whole", {}, kTwo)).exit_code, 0);
  for (const char* rank : {"0", "1"}) {
    const std::string stop = std::string("stop:step=30,seconds=1.3,rank=") + rank;
    const Outcome outcome =
        run(tiny.command(rank, {"ranks.timeout=5"}, kTwo + Strings{"--inject", stop}));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(losses(tiny.directory(rank)), losses(tiny.directory("whole")));
  }
}

TEST(Fault11, AStoppedRankIsNamedAfterTheTimeOut) {
  const TinyRun tiny;
  const Outcome outcome =
      run(tiny.command("stopped", {"ranks.timeout=1", "ranks.grace=1"},
                       {"--ranks", "3", "--inject", "stop:rank=2,step=30,seconds=60"}),
          std::chrono::seconds(20));
  EXPECT_EQ(outcome.exit_code, 7) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("rank 2"));
  EXPECT_THAT(outcome.err, HasSubstr("rank 2 did not end by itself and was killed"));
  expect_good_checkpoint(tiny.directory("stopped"));
}

TEST(Fault52, ContradictoryVariablesEndAtOnceWithTwo) {
  const TinyRun tiny;
  Command command = tiny.command("none");
  command.env.insert({{"RANK", "3"}, {"WORLD_SIZE", "2"}});
  const Outcome outcome = run(command, std::chrono::seconds(5));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("RANK=3"));
  Command nested = tiny.command("none", {}, kTwo);
  nested.env.insert({{"RANK", "0"},
                     {"WORLD_SIZE", "2"},
                     {"LOCAL_RANK", "0"},
                     {"MASTER_ADDR", "127.0.0.1"},
                     {"MASTER_PORT", "1"}});
  EXPECT_EQ(run(nested, std::chrono::seconds(5)).exit_code, 2);
  EXPECT_FALSE(fs::exists(tiny.directory("none")));
}

TEST(Fault54, NaNOfOneRankIsSkippedOnAll) {
  const TinyRun tiny;
  const Outcome outcome =
      run(tiny.command("nan", {}, kTwo + Strings{"--inject", "nan:rank=1,step=30"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(events(tiny.directory("nan"), "skip"), 1);
  const auto loss = losses(tiny.directory("nan"));
  EXPECT_FALSE(loss.contains(30));
  EXPECT_LT(loss.at(60), loss.at(1) - 0.5);
}

TEST(Fault54, RanksRewindAndGiveUpTogether) {
  const TinyRun tiny;
  for (const Strings& owners : {Strings{}, kOwners}) {
    const std::string name = owners.empty() ? "all" : "parts";
    ASSERT_EQ(run(tiny.command(name, owners + Strings{"run.steps=40"}, kTwo)).exit_code, 0);
    const auto good = tensors(tiny.checkpoint(name, 40));
    const Outcome outcome = run(tiny.command(name, owners + kDiverging, kTwo + kResume));
    EXPECT_EQ(outcome.exit_code, 4) << outcome.out << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("diverged"));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_EQ(events(tiny.directory(name), "rewind"), 2);
    EXPECT_EQ(tensors(tiny.checkpoint(name, 40)), good);
  }
}

TEST(Fault62, ARankThatDiesIsNamedAndTheRunEndsWithSeven) {
  const TinyRun tiny;
  for (const char* rank : {"0", "2"}) {
    const std::string kill = std::string("kill:step=190,rank=") + rank;  // long after a save
    const Outcome outcome =
        run(tiny.command(rank, {"run.steps=200"}, {"--ranks", "3", "--inject", kill}),
            std::chrono::seconds(15));
    EXPECT_EQ(outcome.exit_code, 7) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(std::string("rank ") + rank + " is gone"));
    EXPECT_THAT(outcome.err,
                HasSubstr(std::string("rank ") + rank + " of 3 was killed by signal 9"));
    expect_good_checkpoint(tiny.directory(rank));
  }
}

TEST(Fault62, UnderMpirunTheLastCheckpointIsIntact) {
  if (!has_program("mpirun")) GTEST_SKIP() << "needs mpirun";
  const TinyRun tiny;
  const Strings kill = {"--inject", "kill:rank=1,step=190"};
  const Outcome outcome = run(under_mpirun(tiny.command("killed", {"run.steps=200"}, kill), 2));
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_FALSE(outcome.timed_out);
  expect_good_checkpoint(tiny.directory("killed"));
  EXPECT_EQ(run(under_mpirun(tiny.command("killed", {"run.steps=200"}), 2)).exit_code, 0);
}

TEST(Fault63, ARankThatNeverStartsIsListed) {
  const TinyRun tiny;
  const Outcome outcome =
      run(one_of_two(tiny.command("alone", {"ranks.start_timeout=1"}), 0, free_port()));
  EXPECT_EQ(outcome.exit_code, 7);
  EXPECT_THAT(outcome.err, HasSubstr("rank 1 of 2 did not come"));
  const Listener taken("127.0.0.1", 0);
  const Outcome busy = run(one_of_two(tiny.command("alone"), 0, taken.port()));
  EXPECT_EQ(busy.exit_code, 7);
  EXPECT_THAT(busy.err, HasSubstr("port " + std::to_string(taken.port())));
  EXPECT_FALSE(fs::exists(tiny.directory("alone")));
}

TEST(Fault64, ASlowRankIsNamed) {
  const TinyRun tiny;
  const Outcome outcome =
      run(tiny.command("slow", {}, kTwo + Strings{"--inject", "sleep:rank=1,step=30,seconds=1"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(events(tiny.directory("slow"), "straggler"), 1);
  EXPECT_THAT(outcome.out, HasSubstr("rank 1 was busy"));
}

TEST(Fault65, AnotherConfigurationIsNamed) {
  const TinyRun tiny;
  const int port = free_port();
  Process other(one_of_two(tiny.command("two", {"optimizer.lr=2e-2"}), 1, port));
  const Outcome first = run(one_of_two(tiny.command("two"), 0, port));
  EXPECT_EQ(first.exit_code, 2);
  EXPECT_THAT(first.err, HasSubstr("rank 1 differs from rank 0 in its configuration"));
  EXPECT_EQ(other.wait().exit_code, 2);
}

// As torchrun leaves it: its own store listens at MASTER_PORT.
TEST(Fault205, StartsBesideTorchrunsOwnStore) {
  const TinyRun tiny;
  const Listener store("127.0.0.1", 0);
  const auto rank = [&](int r) {
    Command command = one_of_two(tiny.command("elastic", {"run.steps=4"}), r, store.port());
    command.env.insert({{"LOCAL_WORLD_SIZE", "2"},
                        {"GROUP_RANK", "0"},
                        {"ROLE_RANK", std::to_string(r)},
                        {"TORCHELASTIC_RUN_ID", "none"},
                        {"TORCHELASTIC_RESTART_COUNT", "0"},
                        {"TORCHELASTIC_MAX_RESTARTS", "0"},
                        {"TORCHELASTIC_USE_AGENT_STORE", "True"}});
    return command;
  };
  Process other(rank(1));
  const Outcome first = run(rank(0));
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(other.wait().exit_code, 0);
}

}  // namespace
}  // namespace tern::test
