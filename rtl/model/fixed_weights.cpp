#include "rtl/model/fixed_weights.h"

#include <algorithm>
#include <cmath>
#include <string>

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
  const double scale = download_real(from.weight.scale)[0];
  require(std::isfinite(scale) && scale > 0, Fault::input,
          "expected a scale of weights above 0, got ", scale);
  return {.tiles = from.weight.t,
          .into = norm_vector(block ? times(own, download_real(block)) : own),
          .inverse = scalar_of(1 / (127 * scale)),
          .outputs = from.weight.t.shape()[0],
          .inputs = from.weight.t.shape()[1]};
}

// A bound that is nearly 0 leaves all but 2^-16 open: one word holds no more.
std::vector<std::uint16_t> open_gate(const Tensor& bound) {
  std::vector<std::uint16_t> out;
  if (!bound) return out;
  for (const double b : download_real(bound)) {
    require(b >= 0 && b <= 1, Fault::input, "expected a bound of the forget gate from 0 to 1, got ",
            b);
    out.push_back(std::uint16_t(
        std::min<long>(std::lrint(std::ldexp(1 - b, kBoundFraction)), (1 << kBoundFraction) - 1)));
  }
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

FixedLayer fixed(const DecodeLayer& l) {
  return {.token_norm = norm_vector(download_real(l.token_norm)),
          .channel_norm = norm_vector(download_real(l.channel_norm)),
          .g_norm = norm_vector(download_real(l.g_norm)),
          .i = fixed(l.i, l.token_norm),
          .f = fixed(l.f, l.token_norm),
          .g = fixed(l.g, l.token_norm),
          .o = fixed(l.o),
          .gate = fixed(l.gate, l.channel_norm),
          .down = fixed(l.down),
          .open = open_gate(l.bound)};
}

// Says in which part of the model numbers do not fit.
template <class Part>
void named(const std::string& name, const Part& part) {
  try {
    part();
  } catch (const Error& e) {
    fail(e.fault, name, ": ", e.what());
  }
}

}  // namespace

FixedWeights fixed_weights(const DecodeModel& m) {
  FixedWeights out{.eps = scalar_of(m.eps)};
  named("the head", [&] {
    out.norm = norm_vector(download_real(m.norm));
    out.head = fixed(m.head, m.norm);
  });
  for (const DecodeLayer& l : m.layers)
    named("layer " + std::to_string(out.layers.size()), [&] { out.layers.push_back(fixed(l)); });
  return out;
}

Vector embedding_of(const DecodeModel& m, std::int32_t id, int fraction, Saturation& saturate) {
  Vector out;
  for (const double v : row_of(m.table, m.row_scale, id))
    out.push_back(saturate(std::llrint(std::ldexp(v, fraction)), kResidualBits));
  return out;
}

}  // namespace tern::rtl
