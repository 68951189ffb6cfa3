// tern train --ranks N: starts N processes of this program on this machine and stays with them.
#pragma once

#include <string>
#include <vector>

namespace tern {

struct Launch {
  int ranks = 1;
  std::vector<std::string> command{};  // line of each process, the program's name first
  double grace = 60;  // seconds that the others have once one has failed, before they are killed
};

// Returns when all have ended well. Rank 0 has this terminal; of the others one sees errors alone,
// with the rank before them, and a line that several write once. SIGINT, SIGTERM, SIGUSR1 and
// SIGUSR2 are passed on. An Error with the exit code that the run as a whole has: 75 and the like
// as the ranks gave it, Fault::communication for one that was killed, naming the rank and the
// cause.
void launch_ranks(const Launch& launch);

// In a process that launch_ranks started: it is killed when its launcher is gone.
void die_with_launcher();

}  // namespace tern
