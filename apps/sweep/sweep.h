// Trains the runs of a sweep that are missing, several at a time, each in a process of its own.
#pragma once

#include "apps/sweep/sweep_file.h"

namespace tern {

struct SweepOptions {
  std::filesystem::path file{};
  std::string device = "cpu";  // "cpu"; "cuda": every GPU; or some: "cuda:0,cuda:2"
  int jobs = 0;                // runs at once on each device; 0: as many as cores and memory allow
  bool list = false;           // shows the runs and their state, and starts none
};

// What the runs say goes to DIRECTORY/logs/NAME.txt; here a line when one begins or ends, and the
// table of all at the end. A run that fails is named and does not stop the others. One that was
// stopped, killed, or failed for lack of memory, disk or data is tried again by the next call; one
// that diverged is a result. Fault::stopped after SIGINT or SIGTERM, when the runs have saved;
// Fault::usage if another process works on this sweep; else, once all others are done, the fault of
// the first run that failed.
void sweep(const SweepOptions& options);

}  // namespace tern
