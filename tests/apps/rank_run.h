// Tiny runs on several processes, for the tests of them.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "data/checkpoint/checkpoint.h"
#include "distributed/connection.h"
#include "tests/apps/tiny_run.h"

namespace tern::test {

using Strings = std::vector<std::string>;

inline Strings operator+(Strings a, const Strings& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline const Strings kTwo = {"--ranks", "2"};
inline const Strings kResume = {"--resume", "auto"};
inline const Strings kOwners = {"parallel.zero=1"};  // ranks own parts of the model
// A run of two rewinds, then given up.
inline const Strings kDiverging = {"run.steps=100",         "optimizer.lr=1000",
                                   "optimizer.eps=1e-30",   "optimizer.weight_decay=10",
                                   "optimizer.clip=0",      "schedule.preset=constant",
                                   "schedule.warmup=0",     "numerics.max_skipped=2",
                                   "numerics.max_rewinds=2"};

inline Command under_mpirun(Command command, int ranks) {
  command.args =
      Strings{"mpirun", "--allow-run-as-root", "--oversubscribe", "-np", std::to_string(ranks)} +
      command.args;
  return command;
}

// rank `rank` of two, started as torchrun would
inline Command one_of_two(Command command, int rank, int port) {
  command.env.insert({{"RANK", std::to_string(rank)},
                      {"WORLD_SIZE", "2"},
                      {"LOCAL_RANK", std::to_string(rank)},
                      {"MASTER_ADDR", "127.0.0.1"},
                      {"MASTER_PORT", std::to_string(port)}});
  return command;
}

inline int free_port() {
  return Listener("127.0.0.1", 0).port();
}

// of a process, in the order in which they were started
inline std::vector<pid_t> children(pid_t parent) {
  const std::string id = std::to_string(parent);
  std::ifstream in("/proc/" + id + "/task/" + id + "/children");
  std::vector<pid_t> out;
  for (pid_t child; in >> child;) out.push_back(child);
  return out;
}

inline void expect_success(const Command& command) {
  const Outcome outcome = run(command);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
}

// two orders of additions in f64
inline void expect_near(const std::map<int, double>& a, const std::map<int, double>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [step, loss] : a) EXPECT_NEAR(loss, b.at(step), 1e-6) << "step " << step;
}

inline void expect_good_checkpoint(const std::filesystem::path& run) {
  const NewestGood newest = newest_good(run / "checkpoints");
  ASSERT_TRUE(newest.path);
  EXPECT_TRUE(newest.passed_over.empty());
}

}  // namespace tern::test
