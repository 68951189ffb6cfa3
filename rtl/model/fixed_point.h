// The numbers of the accelerator: integers with a fixed place of the binary point, rounded and
// saturated by one rule each, and scalars of 24 bits with an exponent. These functions are their
// definition; the SystemVerilog must give the same bits.
#pragma once

#include <bit>
#include <cstdint>

namespace tern::rtl {

// v / 2^s to the nearest integer, halves to even; 0 <= s <= 62.
constexpr std::int64_t round_shift(std::int64_t v, int s) {
  if (s == 0) return v;
  const std::int64_t whole = v >> s, rest = v - (whole << s), half = std::int64_t(1) << (s - 1);
  return whole + (rest > half || (rest == half && (whole & 1)));
}

// Bits of a magnitude: 0 -> 0, 1 -> 1, 2 and 3 -> 2.
constexpr int bit_length(std::uint64_t v) {
  return std::bit_width(v);
}

// Saturates to so many bits with a sign, and counts how often: in hardware a flag that stays set.
class Saturation {
 public:
  std::int32_t operator()(std::int64_t v, int bits) {
    const std::int64_t most = (std::int64_t(1) << (bits - 1)) - 1;
    return clamp(v, -most - 1, most);
  }
  std::int32_t clamp(std::int64_t v, std::int64_t low, std::int64_t high) {
    if (v > high) return ++count_, std::int32_t(high);
    if (v < low) return ++count_, std::int32_t(low);
    return std::int32_t(v);
  }
  std::int64_t count() const { return count_; }

 private:
  std::int64_t count_ = 0;
};

// A number >= 0: mantissa 2^exponent, with a mantissa in [2^23, 2^24), or zero. Every operation
// gives the largest scalar that is not above the exact result.
struct Scalar {
  std::uint32_t mantissa = 0;
  int exponent = 0;
  bool operator==(const Scalar&) const = default;
};

Scalar scalar_of(std::uint64_t integer, int exponent = 0);  // integer 2^exponent
Scalar scalar_of(double x);                                 // finite, >= 0
double real_of(const Scalar& x);
Scalar multiply(const Scalar& a, const Scalar& b);
Scalar add(const Scalar& a, const Scalar& b);
Scalar divide(const Scalar& a, const Scalar& b);  // by zero: zero
Scalar square_root(const Scalar& a);

// The upper 17 bits of a scalar's mantissa, with the exponent that belongs to them.
struct Factor {
  std::int64_t mantissa = 0;
  int exponent = 0;
};
Factor factor_of(const Scalar& x);

}  // namespace tern::rtl
