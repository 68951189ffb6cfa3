// What the accelerator's instructions compute, each as one function on whole vectors. Formats are
// written Q.n: n bits behind the binary point.
#pragma once

#include <span>
#include <vector>

#include "rtl/model/fixed_point.h"

namespace tern::rtl {

using Vector = std::vector<std::int32_t>;

// bits behind the point of x that a model may have
inline constexpr int kFewestResidualFraction = 8, kMostResidualFraction = 24;
inline constexpr int kResidualBits = 27;  // of x, and of what o and down read
inline constexpr int kOperandBits = 18;   // of a multiplier's operand
inline constexpr int kReciprocalBits = 17;
inline constexpr int kGateBits = 16;  // of what goes into a sigmoid: Q.11
inline constexpr int kGateFraction = 11;
inline constexpr int kSigmoidFraction = 17;
inline constexpr int kSiluFraction = 13;
inline constexpr int kStateFraction = 24;
inline constexpr int kBoundFraction = 16;

// Weights of a norm, or products of two: int16 with a common exponent, w = mantissa 2^-fraction.
struct NormVector {
  std::vector<std::int16_t> mantissas{};
  int fraction = 0;
};
// The largest magnitude gets a mantissa in [2^14, 2^15). Fault::input for what is not finite, or 0
// everywhere.
NormVector norm_vector(std::span<const double> weights);

// sigmoid(x / 2^11) as Q.17, |x| < 2^15: 128 lines over [0, 16), mirrored.
std::int32_t sigmoid(std::int32_t x);
// x sigmoid(x) of x / 2^11, as Q.13
std::int32_t silu(std::int32_t x);

// The shift that brings sums of K products of codes and weights to 18 bits.
constexpr int sum_shift(std::int64_t inputs) {
  const int over = bit_length(std::uint64_t(127 * inputs)) - (kOperandBits - 1);
  return over > 0 ? over : 0;
}

// floor(127 2^shift / largest), with the largest shift for which it has 17 bits; 0 < largest < 2^17
struct Reciprocal {
  std::int64_t mantissa = 0;
  int shift = 0;
};
Reciprocal code_reciprocal(std::int64_t largest);

// The largest magnitudes of a row x and of v = x w: what its codes need before they begin.
struct Statistic {
  std::uint64_t product = 0, row = 0;
  bool operator==(const Statistic&) const = default;
};
// STAT; x saturates to 27 bits. w: mantissas
Statistic statistic(std::span<const std::int32_t> x, std::span<const std::int16_t> w,
                    Saturation& saturate);
// SOP rcp: of the 18 bits that codes are made of; of a row of zeros as if its largest were 1
Reciprocal code_reciprocal(const Statistic& of);

// QNT: a row x as codes of v = x w; x saturates to 27 bits.
struct QuantizedRow {
  std::vector<std::int8_t> q{};  // round(127 v / max |v|)
  std::uint64_t largest = 0;     // max |v|
  int shift = 0;                 // squares are those of x / 2^shift, rounded to 18 bits
  std::uint64_t squares = 0;     // the sum of their squares
  std::uint64_t of_norm = 0;     // likewise of them times `block`'s mantissas / 2^15; 0 without
};
QuantizedRow quantize(std::span<const std::int32_t> x, const NormVector& w, Saturation& saturate,
                      const NormVector* block = nullptr);
// The same of a statistic and its reciprocal, mantissas alone. block: empty if there is none
QuantizedRow quantize(std::span<const std::int32_t> x, std::span<const std::int16_t> w,
                      std::span<const std::int16_t> block, const Statistic& largest,
                      const Reciprocal& reciprocal, Saturation& saturate);

// S g as Q.fraction, before it is saturated. S: 18 bits, its shift in g
std::int64_t scale_sum(std::int32_t sum, const Factor& g, int fraction);

// SIG: (1 - bound) sigmoid(-z), Q.17. open: 1 - bound in Q.16
std::int32_t closed_gate(std::int32_t z, std::int32_t open);
// SCAN: h += k (c - h). h Q.24, k Q.17 in [0, 1], where it saturates, c Q.13
std::int32_t scan(std::int32_t h, std::int32_t k, std::int32_t c, Saturation& saturate);

// Rows. What a multiplier reads is saturated to its 18 bits, which counts.

// The sums of a product and their scale: S g, S narrowed by `shift`.
struct ScaledSums {
  std::span<const std::int32_t> sums{};
  int shift = 0;
  Scalar g{};
};
// MUL: round(a b / 2^shift) in 27 bits, a narrowed by `narrow`
Vector multiply_rows(std::span<const std::int32_t> a, int narrow, std::span<const std::int32_t> b,
                     int shift, Saturation& saturate);
// with mantissas
Vector multiply_rows(std::span<const std::int32_t> a, int narrow, std::span<const std::int16_t> w,
                     int shift, Saturation& saturate);
// MUL: the sum of squares of its first operand
std::uint64_t sum_squares(std::span<const std::int32_t> a, int narrow);
// MAC: x + S g in 27 bits, S g with `fraction` bits behind the point
Vector add_scaled(std::span<const std::int32_t> x, const ScaledSums& product, int fraction,
                  Saturation& saturate);
// SIG. open: 1 - bound in Q.16, empty without a bound
Vector closed_gates(const ScaledSums& product, std::span<const std::uint16_t> open,
                    Saturation& saturate);
// SILU, of S g and of a state in Q.24
Vector silu_of_sums(const ScaledSums& product, Saturation& saturate);
Vector silu_of_state(std::span<const std::int32_t> h, Saturation& saturate);
// SCAN of a row
void scan_row(std::span<std::int32_t> h, std::span<const std::int32_t> k,
              std::span<const std::int32_t> c, Saturation& saturate);

}  // namespace tern::rtl
