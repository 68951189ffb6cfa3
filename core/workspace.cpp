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

// Blocks that walk over N rows of D columns: as many as a multiprocessor has registers and shared
// memory for, which suffice for about so many columns, of kernels that keep much for a column and
// of those that keep less; and a block costs as much as 256 columns.
constexpr Index kShortRows = 5632, kLongRows = 12288;
Index walks(Index N, Index D, Index columns, const DeviceTraits& device) {
  const Index resident = std::max<Index>(1, columns / (D + 256));
  return std::clamp<Index>(N / 8, 1, std::max<Index>(1, resident * device.multiprocessors));
}

}  // namespace

Index column_sum_parts(Index N, const DeviceTraits& device) {
  return std::clamp<Index>(N / 8, 1, 4 * Index(device.multiprocessors));
}

Index column_sum_parts(const NormQuantizeBackward& a, const DeviceTraits& device) {
  return walks(rows_of(a.sum), a.sum.shape().last(), kShortRows, device);
}
Index column_sum_parts(const GatedNormQuantizeBackward& a, const DeviceTraits& device) {
  return walks(rows_of(a.g), a.g.shape().last(), kShortRows, device);
}
Index column_sum_parts(const SwigluNormQuantizeBackward& a, const DeviceTraits& device) {
  return walks(rows_of(a.ab), a.ab.shape().last() / 2, kLongRows, device);
}
Index column_sum_parts(const RmsNormBackward& a, const DeviceTraits& device) {
  return walks(rows_of(a.x), a.x.shape().last(), kShortRows, device);
}

Index mean_parts(Index elements, const DeviceTraits& device) {
  return std::clamp<Index>(elements / 4096, 1, std::max(1, 4 * device.multiprocessors));
}

std::size_t workspace_bytes(const NormQuantizeBackward& a, const DeviceTraits& device) {
  const Index sums = Index(a.rows.size()) + (a.dblock_weight ? 1 : 0);
  return bytes_of(column_sum_parts(a, device) * sums * a.sum.shape().last());
}

std::size_t workspace_bytes(const GatedNormQuantizeBackward& a, const DeviceTraits& device) {
  return bytes_of(column_sum_parts(a, device) * 2 * a.g.shape().last());
}

std::size_t workspace_bytes(const SwigluNormQuantizeBackward& a, const DeviceTraits& device) {
  return bytes_of(column_sum_parts(a, device) * (a.ab.shape().last() / 2));
}

std::size_t workspace_bytes(const RmsNormBackward& a, const DeviceTraits& device) {
  return bytes_of(column_sum_parts(a, device) * a.x.shape().last());
}

// the parts of the mean in f64, and two counts for each block
std::size_t workspace_bytes(const QuantizeTernary& a, const DeviceTraits& device) {
  return std::size_t(mean_parts(a.w.elements(), device)) * (sizeof(double) + 2 * sizeof(Index));
}

}  // namespace tern
