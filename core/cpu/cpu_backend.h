// The reference backend: f32 and f64, OpenMP over fixed chunks, so that the bits do not depend on
// the number of threads. Read it to learn what a kernel means.
#pragma once

#include <memory>

#include "core/backend.h"

namespace tern {

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(std::size_t slab_bytes);  // throws Error(Fault::memory)
  ~CpuBackend() override;
  std::string_view name() const override { return "cpu"; }
  // What computes products with int8 codes in f32 on this machine: "AVX-512 VNNI", "AVX2", "plain".
  static std::string_view code_kernels();
  static std::string_view eigen_version();
  Pool& pool() override { return pool_; }
  void upload(const Tensor& to, const void* from_host) override;
  void download(void* to_host, const Tensor& from) override;
  void copy(const Tensor& to, const Tensor& from) override;
  void fill(const Tensor& to, double value) override;
  const void* host_address(const Tensor& t) const override { return t.raw(); }

  void run(const Unary&) override;
  void run(const UnaryBackward&) override;
  void run(const Binary&) override;
  void run(const BinaryBackward&) override;
  void run(const Accumulate&) override;
  void run(const Sum&) override;
  void run(const SumBackward&) override;
  void run(const Softmax&) override;
  void run(const SoftmaxBackward&) override;
  void run(const Cumsum&) override;
  void run(const RmsNorm&) override;
  void run(const RmsNormBackward&) override;
  void run(const Embedding&) override;
  void run(const EmbeddingBackward&) override;
  void run(const Matmul&) override;
  void run(const MatmulBackward&) override;
  void run(const TernaryProduct&) override;
  void run(const TernaryProductBackward&) override;
  void run(const QuantizeRows&) override;
  void run(const SumMagnitudes&) override;
  void run(const QuantizeTernary&) override;
  void run(const PackTernary&) override;
  void run(const UnpackTernary&) override;
  void run(const Dequantize&) override;
  void run(const NormQuantize&) override;
  void run(const NormQuantizeBackward&) override;
  void run(const GatedNormQuantize&) override;
  void run(const GatedNormQuantizeBackward&) override;
  void run(const SwigluNormQuantize&) override;
  void run(const SwigluNormQuantizeBackward&) override;
  void run(const Mlgru&) override;
  void run(const MlgruBackward&) override;
  void run(const CrossEntropy&) override;
  void run(const WeightedLoss&) override;
  void run(const SquaredNorm&) override;
  void run(const DecideUpdate&) override;
  void run(const AdamW&) override;

 private:
  void* slab_;
  std::size_t slab_bytes_;
  Pool pool_;
};

}  // namespace tern
