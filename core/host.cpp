#include "core/host.h"

#include <algorithm>
#include <bit>

namespace tern {
namespace {

// to nearest, halves to even; NaN stays NaN
BFloat16 to_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (x != x) return {std::uint16_t(bits >> 16 | 0x40)};
  return {std::uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
float to_float(BFloat16 x) {
  return std::bit_cast<float>(std::uint32_t(x.bits) << 16);
}

}  // namespace

void upload_real(const Tensor& to, const std::vector<double>& values) {
  check(Index(values.size()) == to.elements() && is_real(to.dtype()), "[upload_real] expected ",
        values.size(), " real elements, got ", to);
  if (to.dtype() == DType::f64) return to.backend().upload(to, values.data());
  const std::vector<float> narrow(values.begin(), values.end());
  if (to.dtype() == DType::f32) return to.backend().upload(to, narrow.data());
  std::vector<BFloat16> half(narrow.size());
  std::transform(narrow.begin(), narrow.end(), half.begin(), to_bf16);
  to.backend().upload(to, half.data());
}

std::vector<double> download_real(const Tensor& from) {
  check(is_real(from.dtype()), "[download_real] expected real elements, got ", from);
  std::vector<double> values(from.elements());
  if (from.dtype() == DType::f64) {
    from.backend().download(values.data(), from);
    return values;
  }
  if (from.dtype() == DType::bf16) {
    std::vector<BFloat16> half(from.elements());
    from.backend().download(half.data(), from);
    std::transform(half.begin(), half.end(), values.begin(), to_float);
    return values;
  }
  std::vector<float> narrow(from.elements());
  from.backend().download(narrow.data(), from);
  return {narrow.begin(), narrow.end()};
}

Tensor upload_ids(Backend& on, Shape shape, const std::vector<std::int32_t>& ids) {
  const Tensor to(on, shape, DType::i32);
  check(Index(ids.size()) == to.elements(), "[upload_ids] expected ", to.elements(), " ids, got ",
        ids.size());
  on.upload(to, ids.data());
  return to;
}

}  // namespace tern
