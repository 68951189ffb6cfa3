// Constant values into a tensor of any dtype but i8.
#pragma once

#include <cuda_runtime_api.h>

#include "core/tensor.h"

namespace tern::cuda {

void fill_elements(const Tensor& to, double value, cudaStream_t stream);

}  // namespace tern::cuda
