// tern train --ranks N: starts N processes of this program on this machine and waits for them.
#pragma once

#include <string>
#include <vector>

namespace tern {

struct Launch {
  int ranks = 1;
  std::vector<std::string> command{};  // of each process, the program's name first
  double grace = 60;  // seconds from the failure of one rank until the others are killed
};

// Returns when all processes have ended without an error. Rank 0 has this terminal; the other ranks
// show errors only, with the rank in front, and equal lines once. Passes on SIGINT, SIGTERM,
// SIGUSR1 and SIGUSR2. Error with the exit code of the whole run: the ranks' own (75), or
// Fault::communication for a rank that was killed, with its number and the cause.
void launch_ranks(const Launch& launch);

// In a process that launch_ranks has started: the system kills it when its launcher ends. In one
// that a sweep has started (TERN_SWEEP): the system stops it, with a checkpoint.
void end_with_parent();

}  // namespace tern
