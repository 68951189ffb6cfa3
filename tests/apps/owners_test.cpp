// Ranks that own parts of a model (parallel.zero = 1): the numbers of one process, with less
// memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/config/load.h"
#include "apps/run/child.h"
#include "apps/train/memory_plan.h"
#include "apps/train/replica_hash.h"
#include "tests/apps/rank_run.h"

namespace tern::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;
namespace fs = std::filesystem;

const Strings kOwners = {"parallel.zero=1"};
const Strings kExact = {"precision.dtype=f64"};
// A run of parts: its rates must not depend on where a part ends.
const Strings kParts = {"precision.dtype=f64", "schedule.preset=constant"};
const Strings kResume = {"--resume", "auto"};

void expect_near(const std::map<int, double>& a, const std::map<int, double>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [step, loss] : a) EXPECT_NEAR(loss, b.at(step), 1e-6) << "step " << step;
}

void expect_success(const Command& command) {
  const Outcome outcome = run(command);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
}

TEST(Owners, LossesAreThoseOfOneProcess) {
  const TinyRun tiny;
  expect_success(tiny.command("one", kExact));
  expect_success(tiny.command("all", kExact, kTwo));
  const auto one = losses(tiny.directory("one"));
  for (const char* ranks : {"2", "3", "4"}) {
    expect_success(tiny.command(ranks, kExact + kOwners, {"--ranks", ranks}));
    expect_near(losses(tiny.directory(ranks)), one);
  }
  // the same sums in the same order
  EXPECT_EQ(losses(tiny.directory("2")).at(1), losses(tiny.directory("all")).at(1));
  expect_near(losses(tiny.directory("2")), losses(tiny.directory("all")));
}

TEST(Owners, TheSameUnderMpirun) {
  if (!has_program("mpirun")) GTEST_SKIP() << "needs mpirun";
  const TinyRun tiny;
  expect_success(tiny.command("one", kExact));
  for (const int ranks : {2, 4}) {
    const std::string name = std::to_string(ranks);
    expect_success(under_mpirun(tiny.command(name, kExact + kOwners), ranks));
    expect_near(losses(tiny.directory(name)), losses(tiny.directory("one")));
  }
}

TEST(Owners, ARunGoesOnWithOtherRanksAndOtherOwners) {
  const TinyRun tiny;
  expect_success(tiny.command("whole", kParts));
  const auto part = [&](const char* steps, const Strings& overrides, const Strings& arguments) {
    const Strings until = {std::string("run.steps=") + steps};
    expect_success(tiny.command("parts", kParts + until + overrides, arguments + kResume));
  };
  part("10", kOwners, {});
  part("20", kOwners, kTwo);
  part("30", {}, kTwo);
  part("40", kOwners, {"--ranks", "4"});
  part("50", kOwners, kTwo);
  part("60", {}, {});
  expect_near(losses(tiny.directory("parts")), losses(tiny.directory("whole")));
}

TEST(Owners, TheSameRanksGiveTheSameBits) {
  const TinyRun tiny;
  expect_success(tiny.command("whole", kOwners, kTwo));
  const Outcome killed =
      run(tiny.command("parts", kOwners, kTwo + Strings{"--inject", "kill:rank=1,step=30"}));
  EXPECT_EQ(killed.exit_code, 7) << killed.err;
  expect_success(tiny.command("parts", kOwners, kTwo));
  EXPECT_EQ(losses(tiny.directory("whole")), losses(tiny.directory("parts")));
  EXPECT_EQ(tensors(tiny.checkpoint("whole", 60)), tensors(tiny.checkpoint("parts", 60)));
}

TEST(Owners, EveryRankWritesItsShard) {
  const TinyRun tiny;
  expect_success(tiny.command("run", kOwners, {"--ranks", "4"}));
  const fs::path checkpoint = tiny.checkpoint("run", 60);
  for (const char* shard :
       {"rank-000-part-00.h5", "rank-001-part-00.h5", "rank-002-part-00.h5", "rank-003-part-00.h5"})
    EXPECT_TRUE(fs::exists(checkpoint / shard)) << shard;
  expect_good_checkpoint(tiny.directory("run"));
}

TEST(Owners, HoldAShareOfTheState) {
  const TinyRun tiny;
  const auto plan = [&](Strings overrides, Share share) {
    overrides.push_back("model.hidden_size=256");
    return plan_memory(load_config(tiny.config(), overrides).config, 1, {}, share);
  };
  const MemoryPlan alone = plan({}, {});
  std::size_t parameters = 0, moments = 0;
  for (const int rank : {0, 1}) {
    const MemoryPlan own = plan(kOwners, {rank, 2});
    EXPECT_EQ(own.gradients, alone.gradients);
    EXPECT_LT(own.peak, plan({}, {rank, 2}).peak);
    parameters += own.parameters;
    moments += own.moments;
  }
  EXPECT_GE(moments, alone.moments);  // norms and bounds are held twice
  EXPECT_LT(moments, alone.moments * 11 / 10);
  EXPECT_EQ(parameters, moments / 2);
}

TEST(Owners, MoreRanksThanMatricesAreRefused) {
  const TinyRun tiny;
  const Outcome outcome =
      run(tiny.command("many", kOwners + Strings{"batch.tokens=256"}, {"--ranks", "14"}));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("parallel.zero = 1: 14 ranks cannot each own one of 13"));
}

TEST(Owners, EveryRankMustSeeTheRunDirectory) {
  const TinyRun tiny;
  const Strings relative = kOwners + Strings{"run.directory=runs"};
  Command here = tiny.command("run", relative), elsewhere = here;
  here.directory = tiny.room() / "here";
  elsewhere.directory = tiny.room() / "elsewhere";
  const auto expect_refusal = [&](const char* why) {
    const int port = free_port();
    Process other(one_of_two(elsewhere, 1, port));
    const Outcome first = run(one_of_two(here, 0, port));
    EXPECT_EQ(first.exit_code, 2);
    EXPECT_THAT(first.err, AllOf(HasSubstr("rank 1: runs/run"), HasSubstr(why)));
    EXPECT_EQ(other.wait().exit_code, 2);
  };
  fs::create_directory(here.directory);
  fs::create_directory(elsewhere.directory);
  expect_refusal("not there, though rank 0 has made it");
  fs::create_directories(fs::path(elsewhere.directory) / "runs" / "run");
  here = tiny.command("run", relative, {"--overwrite"});
  here.directory = tiny.room() / "here";
  expect_refusal("another directory than rank 0 sees");
}

class Fault25And26 : public testing::Test {
 protected:
  void SetUp() override {
    expect_success(tiny_.command("run", kOwners + Strings{"run.steps=40"}, kTwo));
  }
  // goes on from step 20, as step 40 cannot be used, and says why
  void expect_fallback(const std::string& why) {
    const Outcome outcome = run(tiny_.command("run", kOwners, kTwo + kResume));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_THAT(outcome.out + outcome.err, AllOf(HasSubstr("step-00000040"), HasSubstr(why)));
    EXPECT_THAT(losses(tiny_.directory("run")), SizeIs(60));
  }
  fs::path shard(int step) const { return tiny_.checkpoint("run", step) / "rank-001-part-00.h5"; }
  TinyRun tiny_;
};

TEST_F(Fault25And26, AMissingShardIsNamed) {
  fs::remove(shard(40));
  expect_fallback("rank-001-part-00.h5: cannot open");
}

TEST_F(Fault25And26, AShardOfAnotherStepIsRefused) {
  fs::copy_file(shard(20), shard(40), fs::copy_options::overwrite_existing);
  expect_fallback(
      "expected \"tern checkpoint 1, step 40;\" in it, got \"tern checkpoint 1, step 20;\"");
}

TEST(Fault59, ReplicasThatDifferAreFoundAndNamed) {
  const TinyRun tiny;
  for (const char* zero : {"parallel.zero=0", "parallel.zero=1"}) {
    const Strings checked = {zero, "parallel.replica_check=4"};
    expect_success(tiny.command("good", checked, kTwo + Strings{"--overwrite"}));
    const Outcome outcome = run(tiny.command(
        "bad", checked, {"--ranks", "3", "--overwrite", "--inject", "flip:rank=2,step=30"}));
    EXPECT_EQ(outcome.exit_code, 7) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("after step 32: rank 2 holds other copies of the model"));
    EXPECT_EQ(events(tiny.directory("bad"), "replicas_differ"), 1);
    expect_good_checkpoint(tiny.directory("bad"));
  }
}

TEST(Fault59, TheMajorityIsRight) {
  EXPECT_EQ(ranks_that_differ({"a", "a"}), "");
  EXPECT_THAT(ranks_that_differ({"b", "a", "a"}), HasSubstr("rank 0 holds other copies of the "
                                                            "model than rank 1"));
  EXPECT_THAT(ranks_that_differ({"a", "b", "a", "c"}), HasSubstr("ranks 1, 3 hold other copies"));
  EXPECT_THAT(ranks_that_differ({"a", "b"}), HasSubstr("rank 1 holds"));
}

}  // namespace
}  // namespace tern::test
