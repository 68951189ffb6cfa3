// cuBLASLt behind one call: row-major products of bf16 or e4m3 matrices, summed in f32. Each kind
// of product gets a plan on first use, kept until the end: its algorithm is the measured one of the
// table, or the library's first proposal, never a timing of its own.
#pragma once

#include <cublasLt.h>

#include "cuda/common/dispatch.h"
#include "cuda/products/algorithm_table.h"

namespace tern::cuda {

// Sizes of a row-major product c (M, N) = a (M, K) b (K, N), and how its operands are stored.
struct ProductShape {
  Index M = 0, N = 0, K = 0;
  bool transpose_a = false;  // a is stored (K, M)
  bool transpose_b = false;  // b is stored (N, K)
  auto operator<=>(const ProductShape&) const = default;
};

// half: bf16; or e4m3 with a transposed b: scaled by row and by column and summed in the tensor
// cores' own registers, or not scaled and summed in f32.
enum class OperandKind { half, scaled_fp8, fp8 };

// Everything that decides how a product is computed, and so its bits.
struct BlasKey {
  ProductShape shape{};
  DType type = DType::bf16;     // of c: bf16 or f32
  bool add = false;             // add to c instead of overwriting it
  bool device_factors = false;  // the factors lie on the device
  OperandKind operands{};       // types of a and b
  auto operator<=>(const BlasKey&) const = default;
};
std::string to_text(const BlasKey& key);  // the fields of the table, separated by tabs

// c = alpha a b + beta c; rows of what is stored and pointers are multiples of 16 bytes.
// scaled_fp8: row m of a is multiplied by row_scales[m], column n of b by column_scales[n].
struct BlasProduct {
  BlasKey key{};
  void* c = nullptr;
  const void* a = nullptr;
  const void* b = nullptr;
  const float* factors = nullptr;        // on the device: alpha and beta; null: 1 and (add ? 1 : 0)
  const float* row_scales = nullptr;     // (M) on the device
  const float* column_scales = nullptr;  // (N) on the device
  void* workspace = nullptr;             // kLibraryWorkspace bytes, at a multiple of 256
};

class Blas {
 public:
  // machine: GPU and library, the beginning of the table's keys that count here
  Blas(AlgorithmTable table, std::string machine);
  ~Blas();
  // Error(Fault::internal): the library has no way to compute this product; Fault::input: it does
  // not take the table's
  void run(const BlasProduct& product, cudaStream_t stream);

  // For measurements. observer(product) is called before every product; empty: no longer.
  void observe(std::function<void(const BlasProduct&)> observer) {
    observer_ = std::move(observer);
  }
  // the library's proposals for this kind of product, best guess first
  std::vector<cublasLtMatmulAlgo_t> proposals(const BlasProduct& product, int most);
  // by this algorithm, which the library may refuse
  cublasStatus_t run_by(const cublasLtMatmulAlgo_t& algorithm, const BlasProduct& product,
                        cudaStream_t stream);
  std::string table_key(const BlasKey& key) const { return machine_ + '\t' + to_text(key); }
  const AlgorithmTable& table() const { return table_; }

 private:
  struct Plan;
  const Plan& plan(const BlasProduct& product);
  cublasLtMatmulAlgo_t choose_algorithm(const BlasKey& key, const Plan& plan);
  std::vector<cublasLtMatmulAlgo_t> propose(const BlasKey& key, const Plan& plan, int most);

  struct Destroy {
    void operator()(cublasLtHandle_t handle) const {
      if (!device_lost()) cublasLtDestroy(handle);
    }
  };
  AlgorithmTable table_;
  std::string machine_;
  std::function<void(const BlasProduct&)> observer_{};
  std::unique_ptr<cublasLtContext, Destroy> handle_;
  std::map<BlasKey, std::unique_ptr<const Plan>> plans_;
};

}  // namespace tern::cuda
