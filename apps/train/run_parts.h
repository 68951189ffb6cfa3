// Parts of a training run.
#pragma once

#include "apps/config/load.h"
#include "apps/console/console.h"
#include "apps/console/reports.h"
#include "apps/run/run_directory.h"
#include "apps/train/fault_injection.h"
#include "core/communicator.h"
#include "distributed/control_plane.h"
#include "runtime/memory_plan.h"
#include "runtime/training_data.h"

namespace tern {

// Everything is open and checked before the first step.
struct RunParts {
  const LoadedConfig& loaded;
  RunDirectory* directory;  // null but on rank 0
  Console& console;
  TrainingData& data;
  const Device& device;
  const MemoryPlan& memory;
  ControlPlane& ranks;
  Communicator& communicator;
  int on_machine = 1;         // ranks on this machine
  bool shards_saved = false;  // every rank holds, reads and saves a part of the parameters
  double peak_flops = 0;      // measured, per second and rank
  // Whether the next step is given to the device before the last one's loss is known, so that it
  // never waits for the host.
  bool runs_ahead = false;
  FaultInjection injection{};
  std::vector<std::string> command{};  // line, as it was called
  std::vector<EventReport> events{};   // of the start, to be recorded
};

}  // namespace tern
