// What a device's kernels ask of the sizes of a model.
#pragma once

#include <string>

#include "core/device_traits.h"
#include "layers/model_config.h"

namespace tern {

// Fault::usage naming the key if a model of these sizes cannot be computed on the device.
void require_supported(const ModelConfig& model, bool fp8_dx, const DeviceTraits& device);

// Which keys have values that the device computes slowly, and what is fast; empty: none.
std::string slow_sizes(const ModelConfig& model, const DeviceTraits& device);

}  // namespace tern
