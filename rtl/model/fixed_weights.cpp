#include "rtl/model/fixed_weights.h"

#include <algorithm>
#include <cmath>

#include "core/backend.h"

namespace tern::rtl {
namespace {

using Values = std::vector<double>;

Values times(Values a, const Values& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] *= b[i];
  return a;
}

FixedMatrix fixed(const DecodeMatrix& from, const Tensor& block = {}) {
  const Values own = download_real(from.norm);
  return {.tiles = from.weight.t,
          .into = norm_vector(block ? times(own, download_real(block)) : own),
          .inverse = scalar_of(1 / (127 * download_real(from.weight.scale)[0])),
          .outputs = from.weight.t.shape()[0],
          .inputs = from.weight.t.shape()[1]};
}

// A bound that is nearly 0 leaves all but 2^-16 open: one word holds no more.
std::vector<std::uint16_t> open_gate(const Tensor& bound) {
  std::vector<std::uint16_t> out;
  if (!bound) return out;
  for (const double b : download_real(bound))
    out.push_back(std::uint16_t(
        std::min<long>(std::lrint(std::ldexp(1 - b, kBoundFraction)), (1 << kBoundFraction) - 1)));
  return out;
}

Values row_of(const Tensor& table, const Tensor& row_scale, std::int32_t id) {
  const Tensor row = table.slice(id, 1);
  if (!row_scale) return download_real(row);
  std::vector<std::int8_t> codes(static_cast<std::size_t>(row.elements()));
  row.backend().download(codes.data(), row);
  const double scale = download_real(row_scale.slice(id, 1))[0];
  Values out;
  for (const std::int8_t q : codes) out.push_back(q / scale);
  return out;
}

}  // namespace

FixedWeights fixed_weights(const DecodeModel& m) {
  FixedWeights out{.norm = norm_vector(download_real(m.norm)),
                   .head = fixed(m.head, m.norm),
                   .eps = scalar_of(m.eps)};
  for (const DecodeLayer& l : m.layers)
    out.layers.push_back({.token_norm = norm_vector(download_real(l.token_norm)),
                          .channel_norm = norm_vector(download_real(l.channel_norm)),
                          .g_norm = norm_vector(download_real(l.g_norm)),
                          .i = fixed(l.i, l.token_norm),
                          .f = fixed(l.f, l.token_norm),
                          .g = fixed(l.g, l.token_norm),
                          .o = fixed(l.o),
                          .gate = fixed(l.gate, l.channel_norm),
                          .down = fixed(l.down),
                          .open = open_gate(l.bound)});
  return out;
}

Vector embedding_of(const DecodeModel& m, std::int32_t id, int fraction, Saturation& saturate) {
  Vector out;
  for (const double v : row_of(m.table, m.row_scale, id))
    out.push_back(saturate(std::llrint(std::ldexp(v, fraction)), kResidualBits));
  return out;
}

}  // namespace tern::rtl
