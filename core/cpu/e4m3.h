// Rounding to 8-bit floats of 4 exponent and 3 mantissa bits (OCP 8-bit floating point, E4M3).
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/cpu/parallel.h"

namespace tern::cpu {

// x to the nearest e4m3: three bits behind the leading one, multiples of 2^-9 below 2^-6, at most
// 448; halves to even. x is finite.
template <class R>
R round_e4m3(R x) {
  using Bits = std::conditional_t<sizeof(R) == 4, std::uint32_t, std::uint64_t>;
  constexpr int mantissa = std::numeric_limits<R>::digits - 1;
  constexpr Bits exponent = std::bit_cast<Bits>(std::numeric_limits<R>::infinity());
  const R size = std::abs(x), smallest = R(0x1p-6);
  // A power of two so large beside x that the sum has no bits below x's last one.
  const Bits binade = std::bit_cast<Bits>(size > smallest ? size : smallest) & exponent;
  const R large = std::bit_cast<R>(binade + (Bits(mantissa - 3) << mantissa));
  const R rounded = (size + large) - large;
  return std::copysign(rounded < R(448) ? rounded : R(448), x);
}

// to = e4m3(x r) / r, r = 448 / max(absmax of the row, 1e-30); NaN if the row is not finite
template <class R>
void round_row_e4m3(R* to, const R* x, Index n) {
  R top = 0, poison = 0;
#pragma omp simd reduction(max : top) reduction(+ : poison)
  for (Index i = 0; i < n; ++i) {
    top = std::max(top, std::abs(x[i]));
    poison += x[i] * 0;  // 0, or NaN if any element is not finite
  }
  if (std::isnan(poison)) {
    std::fill_n(to, n, std::numeric_limits<R>::quiet_NaN());
    return;
  }
  const R scale = R(448) / std::max(top, R(1e-30));
#pragma omp simd
  for (Index i = 0; i < n; ++i) to[i] = round_e4m3(x[i] * scale) / scale;
}

// so many rows of dy (N, O), rounded, in this thread's scratch memory
template <class R>
const R* rounded_rows(const R* dy, Index rows, Index O) {
  R* to = scratch<R, 3>(rows * O);
  for (Index n = 0; n < rows; ++n) round_row_e4m3(to + n * O, dy + n * O, O);
  return to;
}

}  // namespace tern::cpu
