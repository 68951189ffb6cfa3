#include "core/workspace.h"

#include <algorithm>

namespace tern {
namespace {

std::size_t bytes_of(Index floats) {
  return std::size_t(floats) * sizeof(float);
}

Index rows_of(const Tensor& t) {
  return t.elements() / t.shape().last();
}

}  // namespace

Index column_sum_parts(Index N, const DeviceTraits& device) {
  return std::clamp<Index>(N / 8, 1, 4 * Index(device.multiprocessors));
}

Index column_sum_parts(Index N, Index D, const DeviceTraits& device) {
  const Index resident = std::clamp<Index>(6912 / D, 1, 4);
  return std::clamp<Index>(N / 8, 1, std::max<Index>(1, resident * device.multiprocessors));
}

Index mean_parts(Index elements, const DeviceTraits& device) {
  return std::clamp<Index>(elements / 4096, 1, std::max(1, 4 * device.multiprocessors));
}

std::size_t workspace_bytes(const NormQuantizeBackward& a, const DeviceTraits& device) {
  const Index D = a.sum.shape().last();
  const Index sums = Index(a.rows.size()) + (a.dblock_weight ? 1 : 0);
  return bytes_of(column_sum_parts(rows_of(a.sum), D, device) * sums * D);
}

std::size_t workspace_bytes(const GatedNormQuantizeBackward& a, const DeviceTraits& device) {
  const Index D = a.g.shape().last();
  return bytes_of(column_sum_parts(rows_of(a.g), D, device) * 2 * D);
}

std::size_t workspace_bytes(const SwigluNormQuantizeBackward& a, const DeviceTraits& device) {
  const Index H = a.ab.shape().last() / 2;
  return bytes_of(column_sum_parts(rows_of(a.ab), H, device) * H);
}

std::size_t workspace_bytes(const RmsNormBackward& a, const DeviceTraits& device) {
  const Index D = a.x.shape().last();
  return bytes_of(column_sum_parts(rows_of(a.x), D, device) * D);
}

// the parts of the mean in f64, and two counts for each block
std::size_t workspace_bytes(const QuantizeTernary& a, const DeviceTraits& device) {
  return std::size_t(mean_parts(a.w.elements(), device)) * (sizeof(double) + 2 * sizeof(Index));
}

}  // namespace tern
