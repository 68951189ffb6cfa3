// bf16 on the host, the upper half of an f32: exactly to f32, and back to the nearest or at random.
#pragma once

#include <bit>
#include <type_traits>

#include "core/dtype.h"
#include "core/rng.h"

namespace tern {

constexpr float to_real(BFloat16 x) {
  return std::bit_cast<float>(std::uint32_t(x.bits) << 16);
}
template <class Number>
constexpr Number to_real(Number x) {
  return x;
}

// A number as Stored: itself, or rounded to bf16, halves to even; NaN stays NaN.
template <class Stored, class Number>
constexpr Stored to_stored(Number x) {
  if constexpr (std::is_same_v<Stored, BFloat16>) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1), quiet = bits | 0x400000;
    return {std::uint16_t((x != x ? quiet : rounded) >> 16)};
  } else {
    return x;
  }
}

// Rounding at random: up or down with the probabilities that make the mean of the result the number
// that was rounded. So a moment whose change is less than half a bf16 step still moves, on average.

// The bits of an f32 to those of a bf16, for r uniform in 0 .. 65535: away from zero if the half
// that is cut off plus r carries. What bf16 holds, zeros and infinities stay as they are.
constexpr std::uint16_t round_stochastically(std::uint32_t x, std::uint32_t r) {
  const bool finite = (x & 0x7f800000u) != 0x7f800000u;
  return std::uint16_t((x + (finite ? r : 0)) >> 16);
}

// a constant: a GPU has no strings
inline constexpr std::uint64_t kMomentStream = stream_of("moments");

// The random words of elements 4i to 4i + 3 of a pack at an Adam step: the low half of each word
// rounds the first moment, the high half the second.
constexpr std::array<std::uint32_t, 4> moment_words(std::uint64_t seed, std::uint64_t adam_step,
                                                    std::uint64_t i) {
  return Rng(seed, kMomentStream + adam_step).block(i);
}

}  // namespace tern
