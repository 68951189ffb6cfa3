// What fusing the BitLinear saves, in one layer and in the whole model: time, memory, traffic.
// (arXiv 2406.02528 reports 1.26 times the speed and 61 % less memory for its fused layer.)
#pragma once

#include "apps/bench/bench.h"

namespace tern {

// Forward and backward in one of the two forms. Memory beyond parameters and their gradients.
struct FormBench {
  Samples seconds{};
  std::size_t kept = 0;  // bytes between forward and backward: what backward reads
  std::size_t peak = 0;  // bytes at any time
  double traffic = 0;    // bytes that its kernels read and write in device memory
};

struct FusionBench {
  FormBench fused{}, composed{};
  double difference = 0;  // of the layer's outputs, of the model's losses, relative
};

// One layer D -> D on B*T rows, and a model. The weights are ternarised once per pass: in the fused
// form all at once before it, as a training step has it, in the other each where it is used.
FusionBench bench_layer_fusion(Backend& backend, const RunConfig& config, int passes);
FusionBench bench_model_fusion(Backend& backend, const RunConfig& config, int passes);

// slab that both need
std::size_t fusion_bytes(const RunConfig& config, const DeviceTraits& device);

}  // namespace tern
