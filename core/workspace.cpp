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

// Columns whose sums a multiprocessor has registers for, all blocks together: in kernels that keep
// little for a column, and in those that keep less.
constexpr Index kShortRows = 5632, kLongRows = 13824;

// blocks that walk over N rows, so many of them at a time on a multiprocessor
Index walks(Index N, Index resident, const DeviceTraits& device) {
  const Index blocks = std::clamp<Index>(resident, 1, 16) * device.multiprocessors;
  return std::clamp<Index>(N / 8, 1, std::max<Index>(1, blocks));
}

}  // namespace

Index column_sum_parts(Index N, const DeviceTraits& device) {
  return std::clamp<Index>(N / 8, 1, 4 * Index(device.multiprocessors));
}

Index column_sum_parts(const NormQuantizeBackward& a, const DeviceTraits& device) {
  return walks(rows_of(a.sum), kShortRows / a.sum.shape().last(), device);
}
Index column_sum_parts(const GatedNormQuantizeBackward& a, const DeviceTraits& device) {
  return walks(rows_of(a.g), kShortRows / a.g.shape().last(), device);
}
Index column_sum_parts(const SwigluNormQuantizeBackward& a, const DeviceTraits& device) {
  return walks(rows_of(a.ab), 2 * kLongRows / a.ab.shape().last(), device);
}
Index column_sum_parts(const RmsNormBackward& a, const DeviceTraits& device) {
  return walks(rows_of(a.x), kShortRows / a.x.shape().last(), device);
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
