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

std::size_t workspace_bytes(const NormQuantizeBackward& a, const DeviceTraits& device) {
  const Index D = a.sum.shape().last();
  const Index sums = Index(a.rows.size()) + (a.dblock_weight ? 1 : 0);
  return bytes_of(column_sum_parts(rows_of(a.sum), device) * sums * D);
}

std::size_t workspace_bytes(const GatedNormQuantizeBackward& a, const DeviceTraits& device) {
  const Index D = a.g.shape().last();
  return bytes_of(column_sum_parts(rows_of(a.g), device) * 2 * D);
}

std::size_t workspace_bytes(const SwigluNormQuantizeBackward& a, const DeviceTraits& device) {
  const Index H = a.ab.shape().last() / 2;
  return bytes_of(column_sum_parts(rows_of(a.ab), device) * H);
}

std::size_t workspace_bytes(const RmsNormBackward& a, const DeviceTraits& device) {
  return bytes_of(column_sum_parts(rows_of(a.x), device) * a.x.shape().last());
}

std::size_t workspace_bytes(const SquaredNorm& a, const DeviceTraits&) {
  return std::size_t(a.g.elements() / kNormPiece + 1) * sizeof(double);
}

}  // namespace tern
