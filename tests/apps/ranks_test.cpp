// Several processes that train one model: the same numbers as one, however they are started.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "apps/system/child.h"
#include "apps/train/train.h"
#include "tests/apps/rank_run.h"

namespace tern::test {
namespace {

using testing::HasSubstr;

const Strings kExact = {"precision.dtype=f64"};
// A run of parts: its rates must not depend on where a part ends.
const Strings kParts = {"precision.dtype=f64", "schedule.preset=constant"};

// and is not merely waiting for somebody to ask how it ended
bool runs(pid_t process) {
  std::ifstream in("/proc/" + std::to_string(process) + "/stat");
  std::string id, name, state;
  return bool(in >> id >> name >> state) && state != "Z";
}

TEST(Ranks, LossesAreThoseOfOneProcess) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("one", kExact)).exit_code, 0);
  const auto one = losses(tiny.directory("one"));
  for (const char* ranks : {"2", "3", "4"}) {  // 3: shares of unequal size
    const Outcome outcome = run(tiny.command(ranks, kExact, {"--ranks", ranks}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    EXPECT_THAT(outcome.out, HasSubstr("found by --ranks"));
    expect_near(losses(tiny.directory(ranks)), one);
  }
}

TEST(Ranks, TheSameUnderMpirun) {
  if (!has_program("mpirun")) GTEST_SKIP() << "needs mpirun";
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("one", kExact)).exit_code, 0);
  for (const int ranks : {2, 4}) {
    const std::string name = std::to_string(ranks);
    const Outcome outcome = run(under_mpirun(tiny.command(name, kExact), ranks));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("found by Open MPI, connected over MPI"));
    expect_near(losses(tiny.directory(name)), losses(tiny.directory("one")));
  }
}

TEST(Ranks, StartedOneByOneWithTorchrunVariables) {
  const TinyRun tiny;
  const int port = free_port();
  Process other(one_of_two(tiny.command("two", kExact), 1, port));
  const Outcome first = run(one_of_two(tiny.command("two", kExact), 0, port));
  EXPECT_EQ(first.exit_code, 0) << first.err;
  const Outcome second = other.wait();
  EXPECT_EQ(second.exit_code, 0) << second.err;
  EXPECT_EQ(second.out + second.err, "") << "rank 0 speaks alone";
  EXPECT_EQ(losses(tiny.directory("two")).size(), 60u);
}

// Rank `rank` of two, which judges losses a step late, as on a GPU.
Command ahead(const TinyRun& tiny, const Strings& overrides, int rank, int port) {
  const auto train_here = [=, config = tiny.config()] {
    omp_set_num_threads(1);  // a parent's threads are not there
    const WithoutPictures here;
    train({.config_file = config,
           .overrides = overrides,
           .rank_flags = {{"--rank", std::to_string(rank)},
                          {"--world-size", "2"},
                          {"--local-rank", std::to_string(rank)},
                          {"--rendezvous", "127.0.0.1:" + std::to_string(port)}},
           .runs_ahead = true});
    return 0;
  };
  return {.body = train_here};
}

TEST(Ranks, RunAheadOfTheirLossesToTheSameBits) {
  const TinyRun tiny;
  for (const char* zero : {"0", "1"}) {
    const std::string name = std::string("ahead-") + zero, judged = std::string("judged-") + zero;
    const Strings overrides = {std::string("parallel.zero=") + zero, "run.steps=40"};
    const int port = free_port();
    Process other(ahead(tiny, overrides + Strings{"run.name=" + name}, 1, port));
    const Outcome first = run(ahead(tiny, overrides + Strings{"run.name=" + name}, 0, port));
    ASSERT_EQ(first.exit_code, 0) << first.err;
    ASSERT_EQ(other.wait().exit_code, 0);
    const Outcome outcome = run(tiny.command(judged, overrides, kTwo));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(losses(tiny.directory(name)), losses(tiny.directory(judged)));
    EXPECT_EQ(tensors(tiny.checkpoint(name, 40)), tensors(tiny.checkpoint(judged, 40)));
  }
}

TEST(Ranks, MistakesAreSaidOnce) {
  const TinyRun tiny;
  const Outcome outcome = run(tiny.command("none", {"data.source.0.path=/nowhere"}, kTwo));
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  const Outcome few = run(tiny.command("none", {}, {"--ranks", "5"}));  // four sequences a step
  EXPECT_EQ(few.exit_code, 2);
  EXPECT_THAT(few.err, HasSubstr("5 ranks"));
  ASSERT_EQ(run(tiny.command("held", {"run.steps=20"}, kTwo)).exit_code, 0);
  const Outcome held = run(tiny.command("held", {}, kTwo + Strings{"--resume", "none"}));
  EXPECT_EQ(held.exit_code, 2) << held.err;
  EXPECT_THAT(held.err, HasSubstr("already holds a run"));
}

TEST(Ranks, NobodyOutlivesItsLauncher) {
  const TinyRun tiny;
  Process process(tiny.command("orphans", {"run.steps=100000"}, kTwo));
  ASSERT_TRUE(process.wait_for(" 30/100000"));
  const std::vector<pid_t> ranks = children(process.id());
  ASSERT_EQ(ranks.size(), 2u);
  kill(process.id(), SIGKILL);
  process.wait();
  const auto alive = [&] { return runs(ranks[0]) || runs(ranks[1]); };
  for (int i = 0; i < 200 && alive(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_FALSE(alive());
}

TEST(Fault28, AnotherWorldSizeGoesOnWithTheSameBatches) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("whole", kParts)).exit_code, 0);
  ASSERT_EQ(run(tiny.command("parts", kParts + Strings{"run.steps=20"})).exit_code, 0);
  const Strings resume = {"--resume", "auto"};
  const Outcome two = run(tiny.command("parts", kParts + Strings{"run.steps=40"}, kTwo + resume));
  ASSERT_EQ(two.exit_code, 0) << two.err;
  ASSERT_EQ(run(tiny.command("parts", kParts, resume)).exit_code, 0);
  expect_near(losses(tiny.directory("parts")), losses(tiny.directory("whole")));
}

TEST(Fault28, TheSameWorldSizeGivesTheSameBits) {
  const TinyRun tiny;
  ASSERT_EQ(run(tiny.command("whole", {}, kTwo)).exit_code, 0);
  ASSERT_EQ(run(tiny.command("again", {}, kTwo)).exit_code, 0);
  EXPECT_EQ(tensors(tiny.checkpoint("whole", 60)), tensors(tiny.checkpoint("again", 60)));
  const Outcome killed =
      run(tiny.command("parts", {}, kTwo + Strings{"--inject", "kill:rank=1,step=30"}));
  EXPECT_EQ(killed.exit_code, 7) << killed.err;
  ASSERT_EQ(run(tiny.command("parts", {}, kTwo)).exit_code, 0);
  EXPECT_EQ(losses(tiny.directory("whole")), losses(tiny.directory("parts")));
  EXPECT_EQ(tensors(tiny.checkpoint("whole", 60)), tensors(tiny.checkpoint("parts", 60)));
}

}  // namespace
}  // namespace tern::test
