// What a device's kernels need beside their arguments: pure functions of shapes and of the device,
// so that a plan made without the device allocates what the run will.
#pragma once

#include "core/kernels.h"

namespace tern {

// What of a device decides how kernels divide their work.
struct DeviceTraits {
  int multiprocessors = 0;  // 0: kernels bring their own memory (the CPU backend)

  static DeviceTraits h200() { return {.multiprocessors = 132}; }
};

// Column sums over N rows (gradients of norm weights) are taken in this many parts, each a thread
// block's rows, and the parts are added in order: the bits depend on the shape and device alone.
Index column_sum_parts(Index N, const DeviceTraits& device);
// The same where a block walks over whole rows: as many as the device holds at a time.
Index column_sum_parts(const NormQuantizeBackward&, const DeviceTraits&);
Index column_sum_parts(const GatedNormQuantizeBackward&, const DeviceTraits&);
Index column_sum_parts(const SwigluNormQuantizeBackward&, const DeviceTraits&);
Index column_sum_parts(const RmsNormBackward&, const DeviceTraits&);
// The mean of a matrix of this many elements is taken in so many parts.
Index mean_parts(Index elements, const DeviceTraits& device);

// Bytes of workspace of one run of a kernel; no other kernel needs any.
std::size_t workspace_bytes(const NormQuantizeBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const GatedNormQuantizeBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const SwigluNormQuantizeBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const RmsNormBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const BinaryBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const EmbeddingBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const Mlgru&, const DeviceTraits&);
std::size_t workspace_bytes(const MlgruBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const Matmul&, const DeviceTraits&);
std::size_t workspace_bytes(const MatmulBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const TernaryProduct&, const DeviceTraits&);
std::size_t workspace_bytes(const TernaryProductBackward&, const DeviceTraits&);
std::size_t workspace_bytes(const QuantizeTernary&, const DeviceTraits&);
std::size_t workspace_bytes(const SquaredNorm&, const DeviceTraits&);
template <class Kernel>
std::size_t workspace_bytes(const Kernel&, const DeviceTraits&) {
  return 0;
}

}  // namespace tern
