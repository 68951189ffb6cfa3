// Errors of the CUDA runtime and its libraries, with what was being done.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>

#include "core/check.h"

namespace tern::cuda {

// Whether a call has failed for good: an error inside a kernel invalidates everything that the
// process has on the device, and every later call only repeats the error. So nothing is called any
// more, not even to free memory; the process is about to end.
inline std::atomic<bool>& device_lost() {
  static std::atomic<bool> lost = false;
  return lost;
}

// cuda_check(cudaMemcpyAsync(...), "[upload]"): throws Error(Fault::internal) and gives the device
// up for lost, or Fault::memory when the device has no memory left
inline void cuda_check(cudaError_t status, const char* what,
                       std::source_location at = std::source_location::current()) {
  if (status == cudaSuccess) [[likely]]
    return;
  if (status != cudaErrorMemoryAllocation) device_lost() = true;
  fail(status == cudaErrorMemoryAllocation ? Fault::memory : Fault::internal, what, ": ",
       cudaGetErrorString(status), " (", cudaGetErrorName(status), ")  (", at.file_name(), ':',
       at.line(), ')');
}

}  // namespace tern::cuda
