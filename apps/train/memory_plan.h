// How much memory a run takes, found by rehearsing it on the dry backend: training then allocates
// exactly that.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "apps/config/run_config.h"
#include "apps/run/device.h"
#include "core/ownership.h"

namespace tern {

struct MemoryPlan {
  Index micro_batch = 0;       // sequences
  std::size_t parameters = 0;  // bytes, here and below; with the padding of the pack
  std::size_t gradients = 0;
  std::size_t moments = 0;
  std::size_t ternary = 0;      // copies, scales, and what they are made of
  std::size_t activations = 0;  // at the peak: what is not one of the others
  std::size_t peak = 0;
  Cost step{};  // of one optimizer step
};

// One step, one validation pass and, on rank 0, one sample of this run at this micro-batch, on one
// of several ranks.
MemoryPlan plan_memory(const RunConfig& config, Index micro_batch, const DeviceTraits& device,
                       Share share = {});

// The same at batch.micro_batch, or, if that is 0, at the largest divisor of the most sequences of
// a rank whose peak the device can give now; on_machine: ranks that share the memory of a CPU's
// machine. Fault::memory, with the parts, if none fits; Fault::usage if a step has no sequence for
// some rank.
MemoryPlan choose_memory_plan(const RunConfig& config, const Device& device, Share share = {},
                              int on_machine = 1);

// The one of so many ranks that needs the most at this micro-batch, of equals the lowest.
int largest_rank(const RunConfig& config, Index micro_batch, const DeviceTraits& device, int ranks);

std::string memory_text(const MemoryPlan& plan);  // an aligned table for people

// Rehearses on the dry backend, then makes the device's backend with exactly the peak.
std::unique_ptr<Backend> make_backend(const Device& device,
                                      const std::function<void(Backend&)>& rehearse);

}  // namespace tern
