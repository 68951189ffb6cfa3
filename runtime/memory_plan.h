// How much memory a run takes, found by rehearsing it on the dry backend: training then allocates
// exactly that.
#pragma once

#include <cstddef>

#include "core/ownership.h"
#include "runtime/device.h"
#include "runtime/run_config.h"

namespace tern {

struct MemoryPlan {
  Index micro_batch = 0;       // sequences
  std::size_t parameters = 0;  // bytes, here and below; with the padding of the pack
  std::size_t gradients = 0;
  std::size_t moments = 0;
  std::size_t copies = 0;       // ternary or bf16, that products read; with scales and sums
  std::size_t activations = 0;  // at the peak: what is not one of the others
  std::size_t peak = 0;
  Cost step{};  // of one optimizer step
  // Host memory that a copy of what this rank saves takes, beside the peak on a CPU.
  std::size_t snapshot = 0;
  bool streamed = false;  // there is no memory for it: a checkpoint is written block by block
};

// One step, one validation pass and, on rank 0, one sample of this run at this micro-batch, on one
// of several ranks.
MemoryPlan plan_memory(const RunConfig& config, Index micro_batch, const DeviceTraits& device,
                       Shard shard = {});

// The same at batch.micro_batch, or, if that is 0, at the largest that the device can give memory
// for now: on a CPU with the copy for a checkpoint beside it, if any can. Then a divisor of the
// most sequences of a rank is taken if one is at least half of that, else parts as even as can be.
// on_machine: ranks that share this machine's memory. Fault::memory, with the parts, if none fits;
// Fault::usage if a step has no sequence for some rank.
MemoryPlan choose_memory_plan(const RunConfig& config, const Device& device, Shard shard = {},
                              int on_machine = 1);

// Says whether the copy for a checkpoint fits into this machine's memory, beside the run.
void plan_snapshot(MemoryPlan& plan, const RunConfig& config, const Device& device, int on_machine);

// The one of so many ranks that needs the most at this micro-batch, of equals the lowest.
int largest_rank(const RunConfig& config, Index micro_batch, const DeviceTraits& device, int ranks);

std::string memory_text(const MemoryPlan& plan);    // an aligned table for people
std::string snapshot_text(const MemoryPlan& plan);  // how a checkpoint is written

// Rehearses on the dry backend, then makes the device's backend with exactly the peak.
// Fault::memory, with both numbers, if the device cannot give that.
std::unique_ptr<Backend> make_backend(const Device& device,
                                      const std::function<void(Backend&)>& rehearse);

}  // namespace tern
