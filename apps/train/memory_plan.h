// How much memory a run takes, found by rehearsing it on the dry backend: training then allocates
// exactly that.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "apps/config/run_config.h"
#include "apps/run/device.h"

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

// One step, one validation pass and one sample of this run at this micro-batch.
MemoryPlan plan_memory(const RunConfig& config, Index micro_batch, const DeviceTraits& device);

// The same at batch.micro_batch, or, if that is 0, at the largest divisor of a step's sequences
// whose peak the device can give now. Fault::memory, with the parts, if none fits.
MemoryPlan choose_memory_plan(const RunConfig& config, const Device& device);

std::string memory_text(const MemoryPlan& plan);  // an aligned table for people

// Rehearses on the dry backend, then makes the device's backend with exactly the peak.
std::unique_ptr<Backend> make_backend(const Device& device,
                                      const std::function<void(Backend&)>& rehearse);

}  // namespace tern
