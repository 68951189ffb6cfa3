// Times the library's ways to compute each kind of product, where the product stands and on its own
// operands: how much power a product takes, and so how fast it is, depends on its data.
#pragma once

#include <set>

#include "core/devices.h"
#include "cuda/products/blas.h"

namespace tern::cuda {

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
