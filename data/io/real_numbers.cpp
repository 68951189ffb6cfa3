#include "data/io/real_numbers.h"

#include <cstring>
#include <vector>

#include "core/bfloat16.h"
#include "core/check.h"

namespace tern {
namespace {

// IEEE 754 binary16: one bit of sign, five of exponent, ten of fraction.
struct Float16 {
  std::uint16_t bits;
};

float to_real(Float16 x) {
  const std::uint32_t sign = std::uint32_t(x.bits & 0x8000u) << 16, exponent = x.bits >> 10 & 31u,
                      fraction = x.bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent > 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float small = float(fraction) * 0x1p-24f;  // subnormal: exact
  return sign ? -small : small;
}

template <class Stored, class Real>
void read_as(std::span<const std::byte> from, std::span<Real> to) {
  using tern::to_real;
  for (std::size_t i = 0; i < to.size(); ++i) {
    Stored value;
    std::memcpy(&value, from.data() + i * sizeof(Stored), sizeof(Stored));
    to[i] = Real(to_real(value));
  }
}

}  // namespace

bool is_real(StoredType type) {
  return type == StoredType::f64 || type == StoredType::f32 || type == StoredType::bf16 ||
         type == StoredType::f16;
}

template <class Real>
void read_reals(StoredType type, std::span<const std::byte> from, std::span<Real> to) {
  check(is_real(type) && from.size() == to.size() * item_bytes(type),
        "[read_reals] expected real numbers, got ", from.size(), " B of ", name_of(type));
  if (type == StoredType::f64) return read_as<double>(from, to);
  if (type == StoredType::f32) return read_as<float>(from, to);
  return type == StoredType::bf16 ? read_as<BFloat16>(from, to) : read_as<Float16>(from, to);
}
template void read_reals(StoredType, std::span<const std::byte>, std::span<float>);
template void read_reals(StoredType, std::span<const std::byte>, std::span<double>);

void convert_reals(StoredType type, std::span<const std::byte> from, StoredType to_type,
                   std::span<std::byte> to) {
  check((to_type == StoredType::f32 || to_type == StoredType::bf16) &&
            from.size() / item_bytes(type) == to.size() / item_bytes(to_type),
        "[convert_reals] expected f32 or bf16, got ", name_of(to_type));
  if (type == to_type) {
    std::memcpy(to.data(), from.data(), to.size());
    return;
  }
  std::vector<float> values(to.size() / item_bytes(to_type));
  read_reals(type, from, std::span(values));
  if (to_type == StoredType::f32) {
    std::memcpy(to.data(), values.data(), to.size());
    return;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const BFloat16 half = to_stored<BFloat16>(values[i]);
    std::memcpy(to.data() + i * sizeof half, &half, sizeof half);
  }
}

}  // namespace tern
