// Runs nothing, counts everything: peak memory, flops and bytes of a step before a device is
// touched. With the traits of a GPU it also takes the workspaces that kernels need there.
#pragma once

#include <vector>

#include "core/backend.h"
#include "core/workspace.h"

namespace tern {

class DryBackend : public Backend {
 public:
  explicit DryBackend(DeviceTraits traits = {}) : traits_(traits) {}
  std::string_view name() const override { return "dry"; }
  DeviceTraits traits() const override { return traits_; }
  Pool& pool() override { return pool_; }
  void upload(const Tensor&, const void*) override {}
  void download(void* to_host, const Tensor& from) override;  // zeros
  void copy(const Tensor&, const Tensor&) override {}
  void fill(const Tensor&, double) override {}
  Cost total() const { return total_; }  // of every kernel run so far
  int launches() const { return launches_; }

  void run(const Unary& a) override { count(a); }
  void run(const UnaryBackward& a) override { count(a); }
  void run(const Binary& a) override { count(a); }
  void run(const BinaryBackward& a) override { count(a); }
  void run(const Accumulate& a) override { count(a); }
  void run(const Sum& a) override { count(a); }
  void run(const SumBackward& a) override { count(a); }
  void run(const Softmax& a) override { count(a); }
  void run(const SoftmaxBackward& a) override { count(a); }
  void run(const Cumsum& a) override { count(a); }
  void run(const RmsNorm& a) override { count(a); }
  void run(const RmsNormBackward& a) override { count(a); }
  void run(const Embedding& a) override { count(a); }
  void run(const EmbeddingBackward& a) override { count(a); }
  void run(const Matmul& a) override { count(a); }
  void run(const MatmulBackward& a) override { count(a); }
  void run(const TernaryProduct& a) override { count(a); }
  void run(const TernaryProductBackward& a) override { count(a); }
  void run(const QuantizeRows& a) override { count(a); }
  void run(const SumMagnitudes& a) override { count(a); }
  void run(const QuantizeTernary& a) override { count(a); }
  void run(const PackTernary& a) override { count(a); }
  void run(const UnpackTernary& a) override { count(a); }
  void run(const Dequantize& a) override { count(a); }
  void run(const NormQuantize& a) override { count(a); }
  void run(const NormQuantizeBackward& a) override { count(a); }
  void run(const GatedNormQuantize& a) override { count(a); }
  void run(const GatedNormQuantizeBackward& a) override { count(a); }
  void run(const SwigluNormQuantize& a) override { count(a); }
  void run(const SwigluNormQuantizeBackward& a) override { count(a); }
  void run(const Mlgru& a) override { count(a); }
  void run(const MlgruBackward& a) override { count(a); }
  void run(const CrossEntropy& a) override { count(a); }
  void run(const WeightedLoss& a) override { count(a); }
  void run(const SquaredNorm& a) override { count(a); }
  void run(const DecideUpdate& a) override { count(a); }
  void run(const AdamW& a) override { count(a); }

 private:
  template <class Kernel>
  void count(const Kernel& kernel) {
    const std::size_t bytes = traits_.is_gpu() ? workspace_bytes(kernel, traits_) : 0;
    if (bytes) Tensor(*this, {Index(bytes)}, DType::i8);  // taken and given back, as a run does
    const Cost c = cost(kernel);
    total_.flops += c.flops;
    total_.bytes += c.bytes;
    ++launches_;
  }
  DeviceTraits traits_;
  Pool pool_{nullptr, std::size_t(1) << 50};
  Cost total_{};
  int launches_ = 0;
};

}  // namespace tern
