// One BitLinear layer, fused and composed from separate ops, forward and backward: the savings
// of fusion. (arXiv 2406.02528 reports 1.26 times the speed and 61 % less memory for its fused
// layer.)
#pragma once

#include "apps/bench/samples.h"
#include "core/backend.h"

namespace tern {

struct BitLinearSize {
  Index rows = 4096, inputs = 2048, outputs = 2048;  // N, I, O
};

// Memory beyond parameters and their gradients.
struct BitLinearBytes {
  std::size_t kept = 0;  // between forward and backward, with x and y: what a layer adds to a model
  std::size_t peak = 0;  // at any time, with the scratch of one layer
};

struct BitLinearBench {
  Samples fused{}, composed{};  // seconds, forward and backward
  BitLinearBytes fused_bytes{}, composed_bytes{};
  double difference = 0;  // of the outputs, relative to the largest
};

// slab that the bench needs
std::size_t bit_linear_bytes(const BitLinearSize& size, DType activations,
                             const DeviceTraits& device);

// Both quantise the weights once per pass. activations: dtype of x and y; parameters are f32.
BitLinearBench bench_bit_linear(Backend& backend, const BitLinearSize& size, DType activations,
                                int passes);

}  // namespace tern
