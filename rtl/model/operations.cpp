#include "rtl/model/operations.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/check.h"

namespace tern::rtl {
namespace {

constexpr int kSegments = 128, kSegmentBits = 8;  // each 2^8 of 2^15
constexpr std::int32_t kOne = 1 << kSigmoidFraction;

struct Line {
  std::int32_t base, slope;  // at the segment's beginning, over the segment
};

// Of sigmoid(-x): a line through the segment's ends, shifted by half of what it lies above the
// curve in the middle, so that it errs as much to both sides.
std::array<Line, kSegments> make_lines() {
  constexpr double kLength = 16.0 / kSegments;
  const auto value = [](double x) { return 1 / (1 + std::exp(x)); };
  std::array<Line, kSegments> lines{};
  for (int i = 0; i < kSegments; ++i) {
    const double first = value(i * kLength), last = value((i + 1) * kLength);
    const double shift = (value((i + 0.5) * kLength) - (first + last) / 2) / 2;
    const auto rounded = [&](double x) {
      return std::int32_t(std::lrint((x + shift) * double(kOne)));
    };
    lines[std::size_t(i)] = {rounded(first), rounded(last) - rounded(first)};
  }
  return lines;
}

// sigmoid(-x) for x >= 0
std::int32_t lower_sigmoid(std::int32_t x) {
  static const std::array<Line, kSegments> lines = make_lines();
  const int segment = std::min(x >> kSegmentBits, kSegments - 1);
  const std::int32_t behind = std::min(x - (segment << kSegmentBits), (1 << kSegmentBits) - 1);
  const Line& line = lines[std::size_t(segment)];
  return line.base + std::int32_t(round_shift(std::int64_t(line.slope) * behind, kSegmentBits));
}

std::uint64_t magnitude(std::int64_t v) {
  return std::uint64_t(v < 0 ? -v : v);
}

// v / 2^shift in 18 bits; only what rounds up to 2^17 is cut
std::int64_t operand(std::int64_t v, int shift) {
  constexpr std::int64_t kMost = (1 << (kOperandBits - 1)) - 1;
  return std::clamp(round_shift(v, shift), -kMost, kMost);
}

int shift_to_operand(std::uint64_t largest) {
  return std::max(0, bit_length(largest) - (kOperandBits - 1));
}

}  // namespace

NormVector norm_vector(std::span<const double> weights) {
  double largest = 0;
  for (const double w : weights) {
    require(std::isfinite(w), Fault::input, "expected finite weights of norms, got ", w);
    largest = std::max(largest, std::abs(w));
  }
  require(largest > 0, Fault::input, "expected weights of norms that are not all 0");
  NormVector out{.fraction = int(std::floor(std::log2(32767 / largest)))};
  for (const double w : weights)
    out.mantissas.push_back(std::int16_t(std::lrint(std::ldexp(w, out.fraction))));
  return out;
}

Reciprocal code_reciprocal(std::int64_t largest) {
  int k = kReciprocalBits - 7 + bit_length(std::uint64_t(largest));
  if ((std::int64_t(127) << k) / largest >= std::int64_t(1) << kReciprocalBits) --k;
  return {(std::int64_t(127) << k) / largest, k};
}

std::int32_t sigmoid(std::int32_t x) {
  return x < 0 ? lower_sigmoid(-x) : kOne - lower_sigmoid(x);
}

std::int32_t silu(std::int32_t x) {
  return std::int32_t(
      round_shift(std::int64_t(x) * sigmoid(x), kGateFraction + kSigmoidFraction - kSiluFraction));
}

Statistic statistic(std::span<const std::int32_t> x, std::span<const std::int16_t> w,
                    Saturation& saturate) {
  Statistic out;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::int64_t v = saturate(x[i], kResidualBits);
    out.product = std::max(out.product, magnitude(v * w[i]));
    out.row = std::max(out.row, magnitude(v));
  }
  return out;
}

Reciprocal code_reciprocal(const Statistic& of) {
  const int shift = shift_to_operand(of.product);
  return code_reciprocal(std::max<std::int64_t>(1, operand(std::int64_t(of.product), shift)));
}

QuantizedRow quantize(std::span<const std::int32_t> x, const NormVector& w, Saturation& saturate,
                      const NormVector* block) {
  Saturation counted;  // with the codes
  const Statistic largest = statistic(x, w.mantissas, counted);
  return quantize(x, w.mantissas, block ? std::span(block->mantissas) : std::span<std::int16_t>{},
                  largest, code_reciprocal(largest), saturate);
}

QuantizedRow quantize(std::span<const std::int32_t> x, std::span<const std::int16_t> w,
                      std::span<const std::int16_t> block, const Statistic& largest,
                      const Reciprocal& reciprocal, Saturation& saturate) {
  QuantizedRow out{.largest = largest.product, .shift = shift_to_operand(largest.row)};
  const int shift = shift_to_operand(largest.product);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::int64_t in = saturate(x[i], kResidualBits);
    const std::int64_t s = operand(in, out.shift);
    out.squares += std::uint64_t(s * s);
    if (!block.empty()) {
      const std::int64_t n = round_shift(s * block[i], 15);
      out.of_norm += std::uint64_t(n * n);
    }
    const std::int64_t v = operand(in * w[i], shift);
    const std::int64_t code = round_shift(v * reciprocal.mantissa, reciprocal.shift);
    out.q.push_back(std::int8_t(std::clamp<std::int64_t>(code, -127, 127)));
  }
  return out;
}

std::int64_t scale_sum(std::int32_t sum, const Factor& g, int fraction) {
  constexpr int kMostUp = 20;  // saturates whatever reads it: g has 17 bits
  const int shift = -(g.exponent + fraction);
  const std::int64_t product = sum * g.mantissa;
  if (shift < 0) return product * (std::int64_t(1) << std::min(-shift, kMostUp));
  return shift > 62 ? 0 : round_shift(product, shift);
}

std::int32_t closed_gate(std::int32_t z, std::int32_t open) {
  return std::int32_t(round_shift(std::int64_t(sigmoid(-z)) * open, kBoundFraction));
}

std::int32_t scan(std::int32_t h, std::int32_t k, std::int32_t c, Saturation& saturate) {
  constexpr int kUp = kStateFraction - kSiluFraction;
  const std::int64_t target = std::int64_t(c) << kUp;
  const std::int64_t d = saturate(round_shift(target - h, kUp), kOperandBits);
  const std::int64_t step = d * saturate.clamp(k, 0, 1 << kSigmoidFraction);
  return std::int32_t(h + round_shift(step, kSigmoidFraction + kSiluFraction - kStateFraction));
}

namespace {

// What a multiplier reads of a sum.
std::int32_t narrow_operand(std::int32_t sum, int shift, Saturation& saturate) {
  return saturate(round_shift(sum, shift), kOperandBits);
}

// The elements of S g, as `then` makes them of (sum, factor).
template <class Then>
Vector of_sums(const ScaledSums& product, Saturation& saturate, const Then& then) {
  Factor g = factor_of(product.g);
  g.exponent += product.shift;
  Vector out;
  for (std::size_t i = 0; i < product.sums.size(); ++i)
    out.push_back(then(i, narrow_operand(product.sums[i], product.shift, saturate), g));
  return out;
}

std::int32_t gate_input(std::int32_t sum, const Factor& g, Saturation& saturate) {
  return saturate(scale_sum(sum, g, kGateFraction), kGateBits);
}

template <class Word>
Vector products(std::span<const std::int32_t> a, int narrow, std::span<const Word> b, int shift,
                Saturation& saturate) {
  Vector out;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const std::int64_t first = narrow_operand(a[i], narrow, saturate);
    out.push_back(
        saturate(round_shift(first * saturate(b[i], kOperandBits), shift), kResidualBits));
  }
  return out;
}

}  // namespace

Vector multiply_rows(std::span<const std::int32_t> a, int narrow, std::span<const std::int32_t> b,
                     int shift, Saturation& saturate) {
  return products(a, narrow, b, shift, saturate);
}

Vector multiply_rows(std::span<const std::int32_t> a, int narrow, std::span<const std::int16_t> w,
                     int shift, Saturation& saturate) {
  return products(a, narrow, w, shift, saturate);
}

std::uint64_t sum_squares(std::span<const std::int32_t> a, int narrow) {
  Saturation counted;  // by the product of the same operands
  std::uint64_t sum = 0;
  for (const std::int32_t v : a) {
    const std::int64_t s = narrow_operand(v, narrow, counted);
    sum += std::uint64_t(s * s);
  }
  return sum;
}

Vector add_scaled(std::span<const std::int32_t> x, const ScaledSums& product, int fraction,
                  Saturation& saturate) {
  return of_sums(product, saturate, [&](std::size_t i, std::int32_t sum, const Factor& g) {
    return saturate(x[i] + scale_sum(sum, g, fraction), kResidualBits);
  });
}

Vector closed_gates(const ScaledSums& product, std::span<const std::uint16_t> open,
                    Saturation& saturate) {
  return of_sums(product, saturate, [&](std::size_t i, std::int32_t sum, const Factor& g) {
    return closed_gate(gate_input(sum, g, saturate), open.empty() ? 1 << kBoundFraction : open[i]);
  });
}

Vector silu_of_sums(const ScaledSums& product, Saturation& saturate) {
  return of_sums(product, saturate, [&](std::size_t, std::int32_t sum, const Factor& g) {
    return silu(gate_input(sum, g, saturate));
  });
}

Vector silu_of_state(std::span<const std::int32_t> h, Saturation& saturate) {
  Vector out;
  for (const std::int32_t v : h)
    out.push_back(silu(saturate(round_shift(v, kStateFraction - kGateFraction), kGateBits)));
  return out;
}

void scan_row(std::span<std::int32_t> h, std::span<const std::int32_t> k,
              std::span<const std::int32_t> c, Saturation& saturate) {
  for (std::size_t i = 0; i < h.size(); ++i) h[i] = scan(h[i], k[i], c[i], saturate);
}

}  // namespace tern::rtl
