// The products of a training step: those that the device's library computes, each kind once, and
// forward the device's own kernel beside the library.
#pragma once

#include "apps/bench/bench.h"
#include "apps/bench/samples.h"

namespace tern {

// Every kind of product that a step of this run asks the library for, and again with fp8_dx.
void run_training_products(Backend& backend, const RunConfig& config);
std::size_t training_products_bytes(const RunConfig& config, const DeviceTraits& device);

// y = x w^T with int8 activations and ternary weights, and the same product of bf16 copies
struct ForwardProduct {
  Index rows = 0, inputs = 0, outputs = 0;  // N, I, O
  Samples codes{}, copies{};                // seconds
  double flops() const { return 2 * double(rows) * double(inputs) * double(outputs); }
};

// For each shape of the forward pass; random operands. GPUs only.
std::vector<ForwardProduct> bench_forward_products(Backend& backend, const RunConfig& config);
std::size_t forward_products_bytes(const RunConfig& config, const DeviceTraits& device);

}  // namespace tern
