// Rank and size of this process, from the variables that a launcher has set.
#pragma once

#include <map>
#include <string>

namespace tern {

using Variables = std::map<std::string, std::string>;

struct RankInfo {
  int rank = 0, size = 1;
  int local_rank = 0, local_size = 1;  // on this machine; local_size 0: unknown
  std::string host{};                  // of rank 0; empty: not known yet
  int port = 0;                        // of rank 0; 0: not known yet
  std::string job{};                   // name of this run, different from other runs'
  std::string launcher =
      "one process";  // source of the rank: "torchrun variables", "Open MPI", ...

  bool one_machine() const { return local_size == size; }
};

// The environment of this process.
Variables environment_variables();

// First match wins: flags ("--rank", "--world-size", "--local-rank", "--rendezvous", given as
// variables of these names), RANK and WORLD_SIZE as torchrun sets them, OMPI_COMM_WORLD_*, PMI_*,
// SLURM_*; none: one process. Rank 0's address is --rendezvous, MASTER_ADDR and MASTER_PORT, the
// first host of SLURM_JOB_NODELIST, or, when all are on one machine, 127.0.0.1; without one it
// stays empty under Open MPI, which can carry it. Fault::usage for what is incomplete or
// contradictory.
RankInfo find_rank_info(const Variables& variables);

// Index of a rank's GPU among the visible ones: its number on the machine, or 0 where the launcher
// shows each rank one GPU. Fault::usage for more ranks than GPUs.
int gpu_of(const RankInfo& info, int visible);

// The first host of a Slurm list: "gpu[03-05,9],login1" is gpu03.
std::string first_host(const std::string& list);

// Names of the variables above, which --ranks must not pass on.
bool is_rank_variable(const std::string& name);

}  // namespace tern
