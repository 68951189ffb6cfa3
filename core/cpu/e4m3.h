// Rounding to 8-bit floats of 4 exponent and 3 mantissa bits (OCP 8-bit floating point, E4M3).
#pragma once

#include <cmath>
#include <limits>

#include "core/cpu/parallel.h"
#include "core/kernels/product.h"

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

// The code of what round_e4m3 returned: sign, four bits of exponent, three of mantissa. Its
// exponent is biased by 7 and that of a float by 127; subnormals are where those of a float are.
inline E4m3 code_of(float rounded) {
  const auto bits = std::bit_cast<std::uint32_t>(rounded * 0x1p-120f);
  return {std::uint8_t((bits >> 24 & 0x80) | (bits >> 20 & 0x7f))};
}
inline float value_of(E4m3 code) {
  const std::uint32_t bits = code.bits;
  return std::bit_cast<float>((bits & 0x80) << 24 | (bits & 0x7f) << 20) * 0x1p120f;
}

template <class R>
void values_of(R* to, const E4m3* codes, Index n) {
  for (Index i = 0; i < n; ++i) to[i] = R(value_of(codes[i]));
}

// r = 448 / max(absmax of the row, 1e-30); NaN if the row is not finite
template <class R>
R e4m3_scale(const R* x, Index n) {
  R top = 0, nonfinite = 0;
#pragma omp simd reduction(max : top) reduction(+ : nonfinite)
  for (Index i = 0; i < n; ++i) {
    top = std::max(top, std::abs(x[i]));
    nonfinite += x[i] * 0;  // 0, or NaN if any element is not finite
  }
  return std::isnan(nonfinite) ? nonfinite : R(448) / std::max(top, R(1e-30));
}

// to = e4m3(x r), as codes or as numbers; zeros if r is NaN
template <class R, class To>
void round_to_e4m3(To* to, const R* x, Index n, R scale) {
  if (std::isnan(scale)) return void(std::fill_n(to, n, To{}));
#pragma omp simd
  for (Index i = 0; i < n; ++i) {
    const R rounded = round_e4m3(x[i] * scale);
    if constexpr (std::is_same_v<To, E4m3>)
      to[i] = code_of(float(rounded));
    else
      to[i] = rounded;
  }
}

// The same with the row's own r -> 1 / r; zeros and NaN if the row is not finite
template <class R, class To>
R round_row_e4m3(To* to, const R* x, Index n) {
  const R scale = e4m3_scale(x, n);
  round_to_e4m3(to, x, n, scale);
  return 1 / scale;
}

// Rows of a gradient that leave in 8-bit floats too, or need not.
template <class R>
struct Fp8Writer {
  Fp8Writer(const char* kernel, const Grad& grad, const Fp8Rows& to)
      : codes(data_or_null<E4m3>(to.codes)), factors(data_or_null<R>(to.factors)) {
    check_fp8_rows(kernel, grad, to);
  }
  // x (D), as it is stored
  void write(Index n, const R* x, Index D) const {
    if (codes) factors[n] = round_row_e4m3(codes + n * D, x, D);
  }

  E4m3* codes;
  R* factors;
};

// so many rows of dy (N, O) as dx is made of them, rounded ones in this thread's scratch memory
template <class R>
const R* dy_of_dx(const TernaryProductBackward& a, Index first, Index rows) {
  const Index O = a.w.t.shape()[0];
  if (!rounds_dx(a.backward)) return a.dy.data<R>() + first * O;
  R* const to = scratch<R, 3>(rows * O);
  for (Index n = 0; n < rows; ++n) {
    R* const row = to + n * O;
    R factor;
    if (a.dy_fp8) {
      values_of(row, a.dy_fp8.codes.data<E4m3>() + (first + n) * O, O);
      factor = a.dy_fp8.factors.data<R>()[first + n];
    } else {
      factor = round_row_e4m3(row, a.dy.data<R>() + (first + n) * O, O);
    }
    for (Index i = 0; i < O; ++i) row[i] *= factor;
  }
  return to;
}

}  // namespace tern::cpu
