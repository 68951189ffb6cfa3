// What kind of GPU this is, and whether tern can use it.
#pragma once

#include "core/plugin.h"

namespace tern::cuda {

// How many there are; errors as below.
int count_devices();

// Makes the device current for this thread. Error(Fault::usage) in one line: no driver, one too
// old, no such device, an architecture without code here.
DeviceFacts describe_device(int device);

// What measured algorithms belong to: GPU and library, "NVIDIA H200\tcuBLASLt 13.1.0".
std::string machine_name(int device);

// Whether the kernels written for Hopper alone may run on the current device. The environment
// variable TERN_CUDA_PLAIN=1 forbids it, so that the plain ones can be tested there too.
bool is_hopper(int device);

}  // namespace tern::cuda
