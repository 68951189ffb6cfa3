// Runs nothing, counts everything: peak memory, flops and bytes of a step before a device is
// touched.
#pragma once

#include <vector>

#include "core/backend.h"

namespace tern {

class DryBackend final : public Backend {
 public:
  std::string_view name() const override { return "dry"; }
  Pool& pool() override { return pool_; }
  void upload(const Tensor&, const void*) override {}
  void download(void* to_host, const Tensor& from) override;  // zeros
  void copy(const Tensor&, const Tensor&) override {}
  void fill(const Tensor&, double) override {}
  Cost total() const { return total_; }  // of every kernel run so far
  int launches() const { return launches_; }

  void run(const Unary& a) override { count(cost(a)); }
  void run(const UnaryBackward& a) override { count(cost(a)); }
  void run(const Binary& a) override { count(cost(a)); }
  void run(const BinaryBackward& a) override { count(cost(a)); }
  void run(const Accumulate& a) override { count(cost(a)); }
  void run(const Sum& a) override { count(cost(a)); }
  void run(const SumBackward& a) override { count(cost(a)); }
  void run(const Softmax& a) override { count(cost(a)); }
  void run(const SoftmaxBackward& a) override { count(cost(a)); }
  void run(const Cumsum& a) override { count(cost(a)); }
  void run(const RmsNorm& a) override { count(cost(a)); }
  void run(const RmsNormBackward& a) override { count(cost(a)); }
  void run(const Embedding& a) override { count(cost(a)); }
  void run(const EmbeddingBackward& a) override { count(cost(a)); }
  void run(const Matmul& a) override { count(cost(a)); }
  void run(const MatmulBackward& a) override { count(cost(a)); }
  void run(const TernaryProduct& a) override { count(cost(a)); }
  void run(const TernaryProductBackward& a) override { count(cost(a)); }
  void run(const QuantizeRows& a) override { count(cost(a)); }
  void run(const QuantizeTernary& a) override { count(cost(a)); }
  void run(const Dequantize& a) override { count(cost(a)); }
  void run(const NormQuantize& a) override { count(cost(a)); }
  void run(const NormQuantizeBackward& a) override { count(cost(a)); }
  void run(const GatedNormQuantize& a) override { count(cost(a)); }
  void run(const GatedNormQuantizeBackward& a) override { count(cost(a)); }
  void run(const SwigluNormQuantize& a) override { count(cost(a)); }
  void run(const SwigluNormQuantizeBackward& a) override { count(cost(a)); }
  void run(const Mlgru& a) override { count(cost(a)); }
  void run(const MlgruBackward& a) override { count(cost(a)); }
  void run(const CrossEntropy& a) override { count(cost(a)); }
  void run(const WeightedLoss& a) override { count(cost(a)); }
  void run(const SquaredNorm& a) override { count(cost(a)); }
  void run(const DecideUpdate& a) override { count(cost(a)); }
  void run(const AdamW& a) override { count(cost(a)); }

 private:
  void count(const Cost& c) {
    total_.flops += c.flops;
    total_.bytes += c.bytes;
    ++launches_;
  }
  Pool pool_{nullptr, std::size_t(1) << 50};
  Cost total_{};
  int launches_ = 0;
};

}  // namespace tern
