// Rank and size of a process, from the variables of launchers.
#include "distributed/rank_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "distributed/connection.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

using testing::HasSubstr;

std::string why_not(const Variables& variables) {
  return complaint([&] { find_rank_info(variables); });
}

TEST(RankInfo, WithoutALauncherThereIsOneProcess) {
  const RankInfo info = find_rank_info({{"HOME", "/root"}});
  EXPECT_EQ(info.rank, 0);
  EXPECT_EQ(info.size, 1);
  EXPECT_EQ(info.launcher, "one process");
}

TEST(RankInfo, TorchrunVariables) {
  const RankInfo info = find_rank_info({{"RANK", "5"},
                                        {"WORLD_SIZE", "8"},
                                        {"LOCAL_RANK", "1"},
                                        {"LOCAL_WORLD_SIZE", "4"},
                                        {"MASTER_ADDR", "node0"},
                                        {"MASTER_PORT", "29500"},
                                        {"TORCHELASTIC_RUN_ID", "none"}});
  EXPECT_EQ(info.rank, 5);
  EXPECT_EQ(info.size, 8);
  EXPECT_EQ(info.local_rank, 1);
  EXPECT_EQ(info.local_size, 4);
  EXPECT_EQ(info.host, "node0");
  EXPECT_EQ(info.port, 29500);
  EXPECT_EQ(info.launcher, "torchrun variables");
}

TEST(RankInfo, OpenMpiOnOneMachineAndOnSeveral) {
  Variables v = {{"OMPI_COMM_WORLD_RANK", "1"},
                 {"OMPI_COMM_WORLD_SIZE", "2"},
                 {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                 {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                 {"OMPI_MCA_ess_base_jobid", "123"}};
  EXPECT_EQ(find_rank_info(v).host, "127.0.0.1");
  EXPECT_GT(find_rank_info(v).port, 1024);
  EXPECT_EQ(find_rank_info(v).launcher, "Open MPI");
  v["OMPI_COMM_WORLD_LOCAL_SIZE"] = "1";
  v["OMPI_COMM_WORLD_LOCAL_RANK"] = "0";
  EXPECT_EQ(find_rank_info(v).host, "") << "MPI itself must carry it";
}

TEST(RankInfo, SlurmTakesAddressAndPortFromTheJob) {
  const Variables v = {{"SLURM_PROCID", "3"},  {"SLURM_NTASKS", "16"},
                       {"SLURM_LOCALID", "3"}, {"SLURM_JOB_ID", "4711"},
                       {"SLURM_STEP_ID", "0"}, {"SLURM_JOB_NODELIST", "gpu[03-04]"}};
  const RankInfo info = find_rank_info(v);
  EXPECT_EQ(info.rank, 3);
  EXPECT_EQ(info.host, "gpu03");
  EXPECT_EQ(info.launcher, "Slurm");
  Variables other = v;
  other["SLURM_PROCID"] = "0", other["SLURM_LOCALID"] = "0";
  EXPECT_EQ(find_rank_info(other).port, info.port) << "every rank finds the same";
  EXPECT_EQ(find_rank_info(other).job, info.job);
}

TEST(RankInfo, TheShellOfABatchJobIsNoRank) {
  Variables v = {{"ENVIRONMENT", "BATCH"}, {"SLURM_PROCID", "0"},    {"SLURM_NTASKS", "8"},
                 {"SLURM_LOCALID", "0"},   {"SLURM_JOB_ID", "4711"}, {"SLURM_JOB_NODELIST", "n1"}};
  EXPECT_EQ(find_rank_info(v).size, 1);
  v["SLURM_STEP_ID"] = "0";
  EXPECT_EQ(find_rank_info(v).size, 8);
}

TEST(RankInfo, PmiNeedsAnAddress) {
  const Variables v = {{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "1"}};
  EXPECT_THAT(why_not(v), HasSubstr("MASTER_ADDR"));
  Variables there = v;
  there["MASTER_ADDR"] = "127.0.0.1", there["MASTER_PORT"] = "4000";
  EXPECT_EQ(find_rank_info(there).launcher, "PMI");
}

TEST(RankInfo, FlagsComeFirstAndSlurmMayHoldSeveralInOneTask) {
  const Variables v = {{"--rank", "1"},       {"--world-size", "4"}, {"--rendezvous", "tcp://h:99"},
                       {"--local-rank", "1"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "1"}};
  const RankInfo info = find_rank_info(v);
  EXPECT_EQ(info.launcher, "flags");
  EXPECT_EQ(info.host, "h");
  EXPECT_EQ(info.port, 99);
}

TEST(RankInfo, FirstHostOfASlurmList) {
  EXPECT_EQ(first_host("node7"), "node7");
  EXPECT_EQ(first_host("a,b"), "a");
  EXPECT_EQ(first_host("gpu[03-05,9],login1"), "gpu03");
  EXPECT_EQ(first_host("gpu[3,5]-ib"), "gpu3-ib");
  EXPECT_EQ(first_host("rack[1-2],x"), "rack1");
}

// A Slurm shell: SLURM_NTASKS is of the job.
TEST(Fault113, AnInteractiveSlurmShellIsOneProcess) {
  const Variables job = {{"SLURM_JOB_ID", "4711"},
                         {"SLURM_NTASKS", "8"},
                         {"SLURM_NNODES", "2"},
                         {"SLURM_JOB_NODELIST", "n[1-2]"}};
  const auto size_with = [&](Variables more) {
    more.insert(job.begin(), job.end());
    return find_rank_info(more).size;
  };
  const Variables first = {{"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}};
  const auto step = [&](Variables more) {
    more.insert(first.begin(), first.end());
    return size_with(more);
  };
  EXPECT_EQ(size_with({}), 1) << "salloc's shell on the login node";
  EXPECT_EQ(step({{"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}}), 1) << "srun --pty";
  EXPECT_EQ(step({{"SLURM_STEP_ID", "4294967290"}}), 1) << "salloc's interactive step";
  EXPECT_EQ(step({{"SLURM_STEP_ID", "4294967291"}}), 1) << "the batch script's step";
  EXPECT_EQ(step({{"SLURM_STEP_ID", "1"}, {"SLURM_STEP_NUM_TASKS", "8"}}), 8) << "srun in it";
  EXPECT_EQ(step({{"SLURM_STEP_ID", "1"}, {"SLURM_STEP_NUM_TASKS", "4"}}), 4) << "of a part";
}

TEST(Fault113, AStepOnAPartOfTheJobMeetsOnItsOwnNodes) {
  Variables v = {{"SLURM_PROCID", "1"},         {"SLURM_NTASKS", "8"},
                 {"SLURM_LOCALID", "1"},        {"SLURM_STEP_NUM_TASKS", "2"},
                 {"SLURM_JOB_ID", "4711"},      {"SLURM_STEP_ID", "3"},
                 {"SLURM_JOB_NUM_NODES", "2"},  {"SLURM_JOB_NODELIST", "n[1-2]"},
                 {"SLURM_STEP_NUM_NODES", "1"}, {"SLURM_STEP_NODELIST", "n2"}};
  const RankInfo info = find_rank_info(v);
  EXPECT_EQ(info.size, 2);
  EXPECT_EQ(info.local_size, 2);
  EXPECT_EQ(info.host, "n2");
}

// torchrun's own store listens at MASTER_PORT, where it says so.
TEST(Fault205, BesideTorchrunsOwnStoreThereIsAnotherPort) {
  Variables v = {{"RANK", "1"},
                 {"WORLD_SIZE", "2"},
                 {"LOCAL_RANK", "1"},
                 {"LOCAL_WORLD_SIZE", "2"},
                 {"MASTER_ADDR", "node0"},
                 {"MASTER_PORT", "29500"},
                 {"TORCHELASTIC_RUN_ID", "none"},
                 {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
  const int port = find_rank_info(v).port;
  EXPECT_NE(port, 29500);
  EXPECT_GT(port, 1024);
  EXPECT_LT(port, 65536);
  v["RANK"] = v["LOCAL_RANK"] = "0";
  EXPECT_EQ(find_rank_info(v).port, port) << "every rank finds the same";
  v["MASTER_PORT"] = "29501";
  EXPECT_NE(find_rank_info(v).port, port) << "a second torchrun finds another";
  v["TORCHELASTIC_USE_AGENT_STORE"] = "False";
  EXPECT_EQ(find_rank_info(v).port, 29501);
  v["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  v["--rendezvous"] = "node0:4000";
  EXPECT_EQ(find_rank_info(v).port, 4000);
}

TEST(Fault121, IPv6AddressesAreWrittenInBrackets) {
  const auto at = [](const std::string& address) {
    return find_rank_info({{"--rank", "1"}, {"--world-size", "2"}, {"--rendezvous", address}});
  };
  for (const char* text : {"[::1]:21001", "tcp://[::1]:21001"}) {
    EXPECT_EQ(at(text).host, "::1");
    EXPECT_EQ(at(text).port, 21001);
    EXPECT_TRUE(at(text).one_machine());
  }
  for (const char* text : {"::1:21001", "[::1]", "[::1:21001", "[]:21001", ":21001", "::1"})
    EXPECT_THAT(complaint([&] { at(text); }), HasSubstr("[ADDRESS]:PORT")) << text;
  for (const char* address : {"::1", "[::1]"})
    EXPECT_EQ(find_rank_info({{"RANK", "0"},
                              {"WORLD_SIZE", "2"},
                              {"MASTER_ADDR", address},
                              {"MASTER_PORT", "21001"}})
                  .host,
              "::1");
  EXPECT_EQ(address_text("::1", 80), "[::1]:80");
  EXPECT_EQ(address_text("node0", 80), "node0:80");
}

TEST(Fault52, MoreRanksThanGpus) {
  RankInfo third{.rank = 6, .size = 8, .local_rank = 2, .local_size = 4};
  EXPECT_EQ(gpu_of(third, 4), 2);
  EXPECT_EQ(gpu_of(third, 1), 0) << "the launcher shows each rank its own";
  EXPECT_THAT(complaint([&] { gpu_of(third, 3); }),
              HasSubstr("4 ranks on this machine, and 3 GPUs"));
  third.local_size = 0;  // unknown
  EXPECT_THAT(complaint([&] { gpu_of(third, 2); }), HasSubstr("3 ranks"));
}

TEST(Fault52, ContradictoryOrIncompleteVariablesAreNamed) {
  const Variables address = {{"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "29500"}};
  const auto with = [&](Variables v) {
    v.insert(address.begin(), address.end());
    return why_not(v);
  };
  EXPECT_THAT(with({{"RANK", "3"}, {"WORLD_SIZE", "2"}}), HasSubstr("RANK=3"));
  EXPECT_THAT(with({{"RANK", "0"}}), HasSubstr("WORLD_SIZE is not"));
  EXPECT_THAT(with({{"WORLD_SIZE", "2"}}), HasSubstr("RANK is not"));
  EXPECT_THAT(with({{"RANK", "x"}, {"WORLD_SIZE", "2"}}), HasSubstr("RANK: expected a number"));
  EXPECT_THAT(with({{"RANK", "-1"}, {"WORLD_SIZE", "2"}}), HasSubstr("RANK"));
  EXPECT_THAT(with({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "1"}}),
              HasSubstr("LOCAL_RANK=1"));
  EXPECT_THAT(why_not({{"RANK", "0"}, {"WORLD_SIZE", "2"}}), HasSubstr("MASTER_PORT"));
  EXPECT_THAT(with({{"RANK", "0"},
                    {"WORLD_SIZE", "2"},
                    {"OMPI_COMM_WORLD_RANK", "1"},
                    {"OMPI_COMM_WORLD_SIZE", "2"}}),
              HasSubstr("Open MPI"));
  EXPECT_THAT(
      with({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "2"}}),
      HasSubstr("Slurm"));
  EXPECT_THAT(why_not({{"--rank", "1"}, {"--world-size", "2"}, {"--rendezvous", "here"}}),
              HasSubstr("HOST:PORT"));
}

}  // namespace
}  // namespace tern
