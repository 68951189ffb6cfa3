// The seam. A Backend is a device, its memory, its one compute stream, and the kernels.
// Autograd, layers and optimisers know only this class; no other file names a device.
#pragma once

#include <string_view>

#include "core/device_traits.h"
#include "core/kernels.h"
#include "core/pool.h"

namespace tern {

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;  // "cpu", "cuda:0", "dry"
  virtual DeviceTraits traits() const { return {}; }
  virtual Pool& pool() = 0;
  virtual void upload(const Tensor& to, const void* from_host) = 0;  // to.bytes() bytes
  virtual void download(void* to_host, const Tensor& from) = 0;      // from.bytes() bytes; waits
  virtual void copy(const Tensor& to, const Tensor& from) = 0;       // same bytes, same backend
  virtual void fill(const Tensor& to, double value) = 0;
  virtual void synchronize() {}
  // where the host may read t without a download, or null
  virtual const void* host_address(const Tensor&) const { return nullptr; }

  virtual void run(const Unary&) = 0;
  virtual void run(const UnaryBackward&) = 0;
  virtual void run(const Binary&) = 0;
  virtual void run(const BinaryBackward&) = 0;
  virtual void run(const Accumulate&) = 0;
  virtual void run(const Sum&) = 0;
  virtual void run(const SumBackward&) = 0;
  virtual void run(const Softmax&) = 0;
  virtual void run(const SoftmaxBackward&) = 0;
  virtual void run(const Cumsum&) = 0;
  virtual void run(const RmsNorm&) = 0;
  virtual void run(const RmsNormBackward&) = 0;
  virtual void run(const Embedding&) = 0;
  virtual void run(const EmbeddingBackward&) = 0;
  virtual void run(const Matmul&) = 0;
  virtual void run(const MatmulBackward&) = 0;
  virtual void run(const TernaryProduct&) = 0;
  virtual void run(const TernaryProductBackward&) = 0;
  virtual void run(const QuantizeRows&) = 0;
  virtual void run(const SumMagnitudes&) = 0;
  virtual void run(const QuantizeTernary&) = 0;
  virtual void run(const Dequantize&) = 0;
  virtual void run(const NormQuantize&) = 0;
  virtual void run(const NormQuantizeBackward&) = 0;
  virtual void run(const GatedNormQuantize&) = 0;
  virtual void run(const GatedNormQuantizeBackward&) = 0;
  virtual void run(const SwigluNormQuantize&) = 0;
  virtual void run(const SwigluNormQuantizeBackward&) = 0;
  virtual void run(const Mlgru&) = 0;
  virtual void run(const MlgruBackward&) = 0;
  virtual void run(const CrossEntropy&) = 0;
  virtual void run(const WeightedLoss&) = 0;
  virtual void run(const SquaredNorm&) = 0;
  virtual void run(const DecideUpdate&) = 0;
  virtual void run(const AdamW&) = 0;
};

}  // namespace tern
