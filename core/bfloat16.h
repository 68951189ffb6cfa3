// bf16 on the host, the upper half of an f32: exactly to f32, and back to the nearest.
#pragma once

#include <bit>
#include <type_traits>

#include "core/dtype.h"

namespace tern {

constexpr float wide(BFloat16 x) {
  return std::bit_cast<float>(std::uint32_t(x.bits) << 16);
}
template <class Number>
constexpr Number wide(Number x) {
  return x;
}

// A number as Stored: itself, or rounded to bf16, halves to even; NaN stays NaN.
template <class Stored, class Number>
constexpr Stored narrow(Number x) {
  if constexpr (std::is_same_v<Stored, BFloat16>) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1), quiet = bits | 0x400000;
    return {std::uint16_t((x != x ? quiet : rounded) >> 16)};
  } else {
    return x;
  }
}

}  // namespace tern
