// Errors of the CUDA runtime and its libraries, with what was being done.
#pragma once

#include <cuda_runtime_api.h>

#include "core/check.h"

namespace tern::cuda {

// cuda_check(cudaMemcpyAsync(...), "[upload]"): throws Error(Fault::internal), or Fault::memory
// when the device has no memory left
inline void cuda_check(cudaError_t status, const char* what,
                       std::source_location at = std::source_location::current()) {
  if (status == cudaSuccess) [[likely]]
    return;
  fail(status == cudaErrorMemoryAllocation ? Fault::memory : Fault::internal, what, ": ",
       cudaGetErrorString(status), " (", cudaGetErrorName(status), ")  (", at.file_name(), ':',
       at.line(), ')');
}

}  // namespace tern::cuda
