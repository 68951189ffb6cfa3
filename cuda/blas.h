// cuBLASLt behind one call: row-major products of bf16 matrices, summed in f32. Each kind of
// product gets a plan on first use, kept until the end.
#pragma once

#include <cublasLt.h>

#include <map>
#include <memory>

#include "cuda/dispatch.h"
#include "cuda/product_shape.h"

namespace tern::cuda {

// Everything that decides how a product is computed, and so its bits.
struct BlasKey {
  ProductShape shape{};
  DType type = DType::bf16;     // of c: bf16 or f32
  bool add = false;             // add to c instead of overwriting it
  bool device_factors = false;  // the factors lie on the device
  auto operator<=>(const BlasKey&) const = default;
};

// c = alpha a b + beta c; rows of what is stored and pointers are multiples of 16 bytes
struct BlasProduct {
  BlasKey key{};
  void* c = nullptr;
  const bf16* a = nullptr;
  const bf16* b = nullptr;
  const float* factors = nullptr;  // on the device: alpha and beta; null: 1 and (add ? 1 : 0)
  void* workspace = nullptr;       // kLibraryWorkspace bytes, at a multiple of 256
};

class Blas {
 public:
  Blas();
  ~Blas();
  // Error(Fault::internal): the library has no way to compute this product
  void run(const BlasProduct& product, cudaStream_t stream);

 private:
  struct Plan;
  const Plan& plan(const BlasKey& key);

  struct Destroy {
    void operator()(cublasLtHandle_t handle) const { cublasLtDestroy(handle); }
  };
  std::unique_ptr<cublasLtContext, Destroy> handle_;
  std::map<BlasKey, std::unique_ptr<const Plan>> plans_;
};

}  // namespace tern::cuda
