// Ranks that own parts of a model (parallel.zero = 1): the numbers of one process, with less
// memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "apps/config/load.h"
#include "apps/system/child.h"
#include "core/cpu/cpu_backend.h"
#include "runtime/memory_plan.h"
#include "runtime/trainer.h"
#include "tests/apps/rank_run.h"

namespace tern::test {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

const Strings kExact = {"precision.dtype=f64"};
// A run of parts: its rates must not depend on where a part ends.
const Strings kParts = {"precision.dtype=f64", "schedule.preset=constant"};

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

// Two ranks without clipping: "all" without owners and "own" with them, to the same bits.
void expect_same_with_owners(const TinyRun& tiny, const Strings& settings) {
  expect_success(tiny.command("all", settings, kTwo));
  expect_success(tiny.command("own", settings + kOwners, kTwo));
  EXPECT_EQ(losses(tiny.directory("all")), losses(tiny.directory("own")));
  EXPECT_EQ(tensors(tiny.checkpoint("all", 60)), tensors(tiny.checkpoint("own", 60)));
}

// Owners add the squares of gradients in another order, which shows in clipped updates alone.
TEST(Owners, WithoutClippingTheSameBitsAsWithoutOwners) {
  const TinyRun tiny;
  expect_same_with_owners(tiny, {"optimizer.clip=0", "logging.diagnostics_interval=10"});
  const Strings kinds = {"diagnostics", "val", "sample"};
  const Strings told = reports(tiny.directory("all"), kinds);
  EXPECT_THAT(told, testing::SizeIs(testing::Gt(6u)));
  EXPECT_EQ(told, reports(tiny.directory("own"), kinds));
}

// The ranks' gradients are added in f32 and rounded once more.
TEST(Owners, HalfGradientsHaveTheSameBitsAsWithoutOwners) {
  const TinyRun tiny;
  const Strings half = {"optimizer.clip=0", "optimizer.gradients=bf16"};
  expect_same_with_owners(tiny, half);
  expect_success(tiny.command("exact", {"optimizer.clip=0"}, kTwo));
  const auto rounded = losses(tiny.directory("all")), exact = losses(tiny.directory("exact"));
  EXPECT_EQ(rounded.at(1), exact.at(1));
  EXPECT_NE(rounded, exact);
  EXPECT_NEAR(rounded.at(60), exact.at(60), 0.1);
  if (!has_program("mpirun")) GTEST_SKIP() << "the rest needs mpirun";
  expect_success(under_mpirun(tiny.command("mpi", half + kOwners), 2));
  EXPECT_EQ(losses(tiny.directory("mpi")), rounded);
}

TEST(Owners, EightBitProductsHaveTheSameBitsAsWithoutOwners) {
  expect_same_with_owners(TinyRun(), {"optimizer.clip=0", "precision.backward=fp8"});
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
  for (const std::string backward : {"bf16", "fp8"}) {
    const TinyRun tiny;
    const Strings settings = kOwners + Strings{"precision.backward=" + backward};
    expect_success(tiny.command("whole", settings, kTwo));
    const Outcome killed =
        run(tiny.command("parts", settings, kTwo + Strings{"--inject", "kill:rank=1,step=30"}));
    EXPECT_EQ(killed.exit_code, 7) << killed.err;
    expect_success(tiny.command("parts", settings, kTwo));
    EXPECT_EQ(losses(tiny.directory("whole")), losses(tiny.directory("parts")));
    EXPECT_EQ(tensors(tiny.checkpoint("whole", 60)), tensors(tiny.checkpoint("parts", 60)));
  }
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
  const auto plan = [&](Strings overrides, Shard shard) {
    overrides.push_back("model.hidden_size=256");
    return plan_memory(load_config(tiny.config(), overrides).config, 1, {}, shard);
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

// What a run of this rank takes, with one sequence a step or two.
void expect_plan_of_every_rank(const Strings& overrides) {
  const TinyRun tiny;
  // six sequences, longer than the sample that rank 0 plans for
  const Strings settings = kOwners + overrides + Strings{"batch.tokens=768", "batch.context=128"};
  const RunConfig config = load_config(tiny.config(), settings).config;
  std::vector<std::size_t> peaks;
  for (int rank = 0; rank < 4; ++rank) {
    const MemoryPlan plan = plan_memory(config, 2, {}, {rank, 4});
    peaks.push_back(plan.peak);
    CpuBackend cpu(plan.peak);
    SelfCommunicator others(rank, 4);
    Trainer trainer(cpu, config, 2, &others);
    trainer.pack().initialize(1);
    const Index sequences = 6 * (rank + 1) / 4 - 6 * rank / 4;
    const std::vector<std::int32_t> ids(std::size_t(sequences) * 128, 3), two(256, 3);
    StepDiagnostics inside;
    trainer.step({ids, ids}, 0.01, 0.01, 0);
    trainer.step({ids, ids}, 0.01, 0.01, 0, &inside);
    evaluate(trainer.model(), {two, two}, 128);
    EXPECT_EQ(cpu.pool().high_water(), plan.peak) << rank;
  }
  EXPECT_EQ(largest_rank(config, 2, {}, 4), std::ranges::max_element(peaks) - peaks.begin());
}

TEST(Owners, APlanIsThePeakOfEveryRank) {
  expect_plan_of_every_rank({});
}

TEST(Owners, APlanWithHalfGradientsIsThePeakOfEveryRank) {
  expect_plan_of_every_rank({"optimizer.gradients=bf16"});
}

TEST(Owners, MoreRanksThanMatrices) {
  const TinyRun tiny;
  const Strings small =
      kExact + Strings{"model.num_hidden_layers=1", "batch.tokens=128", "run.steps=20"};
  expect_success(tiny.command("one", small));
  expect_success(tiny.command("many", small + kOwners, {"--ranks", "8"}));  // of 7 matrices
  expect_near(losses(tiny.directory("many")), losses(tiny.directory("one")));
  expect_good_checkpoint(tiny.directory("many"));
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

// Two file systems may number their files alike: what all must see is a file, and it is gone again.
TEST(Fault318, WhatRanksLookForInTheDirectoryIsRemoved) {
  const TinyRun tiny;
  expect_success(tiny.command("run", kOwners + Strings{"run.steps=1"}, kTwo));
  for (const auto& entry : fs::directory_iterator(tiny.directory("run")))
    EXPECT_FALSE(entry.path().filename().string().starts_with(".ranks-")) << entry.path();
}

}  // namespace
}  // namespace tern::test
