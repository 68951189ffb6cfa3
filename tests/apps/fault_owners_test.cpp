// Faults of runs whose ranks own parts of the model (docs/faults.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "apps/system/child.h"
#include "apps/train/replicas.h"
#include "tests/apps/rank_run.h"

namespace tern::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;
namespace fs = std::filesystem;

TEST(Fault13, ARankThatCannotWriteItsShardFailsTheSaveAndLosesNothing) {
  const TinyRun tiny;
  expect_success(tiny.command("run", kOwners + Strings{"run.steps=20"}, kTwo));
  const auto good = tensors(tiny.checkpoint("run", 20));
  const Command command = tiny.command("run", kOwners + Strings{"run.steps=50"}, kResume);
  const int port = free_port();
  Command small = one_of_two(command, 1, port);
  small.limits = {{RLIMIT_FSIZE, 4096}};
  Process other(small);
  const Outcome first = run(one_of_two(command, 0, port));
  other.wait();
  EXPECT_EQ(first.exit_code, 6) << first.out << first.err;
  EXPECT_THAT(first.err, HasSubstr("the last checkpoint could not be saved: rank 1: "));
  EXPECT_EQ(tensors(tiny.checkpoint("run", 20)), good);
  expect_good_checkpoint(tiny.directory("run"));
  for (const auto& entry : fs::directory_iterator(tiny.directory("run") / "checkpoints"))
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
}

class Shards : public testing::Test {
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

using Fault22OfARank = Shards;
using Fault25OfARank = Shards;
using Fault26OfARank = Shards;

TEST_F(Fault25OfARank, AMissingShardIsNamed) {
  fs::remove(shard(40));
  expect_fallback("rank-001-part-00.h5: cannot open");
}

TEST_F(Fault22OfARank, ATruncatedShardIsNamed) {
  fs::resize_file(shard(40), fs::file_size(shard(40)) / 2);
  expect_fallback("rank-001-part-00.h5: expected ");
}

TEST_F(Fault25OfARank, AShardTooManyIsAWarning) {
  fs::copy_file(shard(40), shard(40).parent_path() / "rank-002-part-00.h5");
  const std::string checkpoint = tiny_.checkpoint("run", 40).string();
  const Outcome inspect =
      run({.args = {sibling_program("tern"), "inspect", checkpoint, "--verify"}});
  EXPECT_EQ(inspect.exit_code, 0) << inspect.err;
  EXPECT_THAT(inspect.out, HasSubstr("rank-002-part-00.h5: not in the manifest, ignored"));
  const Outcome text = run({.args = {sibling_program("tern"), "generate", "--checkpoint",
                                     checkpoint, "--prompt", "ROMEO:", "-n", "4"}});
  EXPECT_EQ(text.exit_code, 0) << text.err;  // one process reads what two have written
}

TEST_F(Fault26OfARank, AShardOfAnotherStepIsRefused) {
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
        "bad", checked, {"--ranks", "3", "--overwrite", "--inject", "flip:rank=2,step=54"}));
    EXPECT_EQ(outcome.exit_code, 7) << outcome.err;
    EXPECT_THAT(outcome.err,
                HasSubstr("after step 56: rank 2 holds copies of the model that differ"));
    EXPECT_EQ(events(tiny.directory("bad"), "replicas_differ"), 1);
    expect_good_checkpoint(tiny.directory("bad"));  // of step 20: the save of step 40 waits for it
  }
}

TEST(Fault59, TheMajorityIsRight) {
  EXPECT_EQ(ranks_that_differ({"a", "a"}), "");
  EXPECT_THAT(ranks_that_differ({"b", "a", "a"}),
              HasSubstr("rank 0 holds copies of the model that differ from those of rank 1"));
  EXPECT_THAT(ranks_that_differ({"a", "b", "a", "c"}),
              HasSubstr("ranks 1, 3 hold copies of the model that differ"));
  EXPECT_THAT(ranks_that_differ({"a", "b"}), HasSubstr("rank 1 holds"));
}

}  // namespace
}  // namespace tern::test
