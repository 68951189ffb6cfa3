// Tests that need a GPU are skipped, by name, where there is none.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <memory>

#include "cuda/backend/cuda_backend.h"

namespace tern {

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
