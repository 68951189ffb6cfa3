// The decision of all ranks between two steps, a function of the notes of every rank.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tern {

struct StepNote {
  std::int32_t signal = 0;   // the signal that asked this rank to stop; 0: none
  std::int32_t time_up = 0;  // run.time_limit is reached
  std::int32_t save = 0;     // a checkpoint was requested
  std::int32_t padding = 0;
  double busy_seconds = 0;  // of the last step, without waiting for other ranks
};

struct StepDecision {
  std::string stop{};  // reason to stop; empty: continue
  bool save = false;
  std::string straggler{};  // a rank that was much slower, with the seconds of all
};

// notes: of every rank, by rank
StepDecision decide(const std::vector<StepNote>& notes);

}  // namespace tern
