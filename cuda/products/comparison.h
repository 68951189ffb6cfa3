// The differences between two matrices on the device.
#pragma once

#include <cuda_runtime_api.h>

#include "core/tensor.h"

namespace tern::cuda {

struct Differences {
  double difference = 0, size = 0;  // sums of squares of a - b and of b
  unsigned long long other = 0;     // elements with other bits
};

inline constexpr int kComparisonBlocks = 1024;
inline constexpr std::size_t kComparisonBytes = kComparisonBlocks * sizeof(Differences);

struct Comparison {
  const void* a = nullptr;  // in (count), f32 or bf16
  const void* b = nullptr;  // in (count)
  DType type = DType::f32;
  Index count = 0;
  void* space = nullptr;  // on the device, kComparisonBytes
};
Differences compare(const Comparison& comparison, cudaStream_t stream);  // waits

}  // namespace tern::cuda
