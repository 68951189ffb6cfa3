// Times the library's ways to compute each kind of product, where the product stands and on its own
// operands: how much power a product takes, and so how fast it is, depends on its data.
#pragma once

#include <cuda_runtime_api.h>

#include <set>

#include "core/plugin.h"
#include "core/tensor.h"
#include "cuda/products/blas.h"

namespace tern::cuda {

// The differences between two matrices on the device.
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

class ProductMeasurement {
 public:
  using Report = std::function<void(const MeasuredProduct&)>;
  ProductMeasurement(Blas& blas, cudaStream_t stream, Report report)
      : blas_(blas), stream_(stream), report_(std::move(report)), table_(blas.table()) {}

  // Before the product runs; of each kind the first is measured. Leaves c as it was. Takes memory
  // beside the backend's slab, twice the size of c and some: Error(Fault::memory) if there is none.
  void before(const BlasProduct& product);
  // the backend's table with what was measured in place of what it said before
  const AlgorithmTable& table() const { return table_; }

 private:
  Blas& blas_;
  cudaStream_t stream_;
  Report report_;
  AlgorithmTable table_;
  std::set<BlasKey> seen_{};
};

}  // namespace tern::cuda
