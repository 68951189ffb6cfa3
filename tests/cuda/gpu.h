// Tests that need a GPU are skipped, by name, where there is none.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "cuda/backend/cuda_backend.h"

namespace tern {

// ||a - b|| / ||b||
inline double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double apart = 0, size = 0;
  for (std::size_t i = 0; i < b.size(); ++i)
    apart += (a[i] - b[i]) * (a[i] - b[i]), size += b[i] * b[i];
  return std::sqrt(apart / size);
}

class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) GTEST_SKIP() << "no GPU here";
  }
  CudaBackend& gpu(std::size_t slab_bytes) {
    if (!gpu_) gpu_ = std::make_unique<CudaBackend>(0, slab_bytes);
    return *gpu_;
  }

 private:
  std::unique_ptr<CudaBackend> gpu_;
};

}  // namespace tern
