// Rounding at random: up or down with the probabilities that make the mean of the result the number
// that was rounded. So a moment whose change is less than half a bf16 step still moves, on average.
#pragma once

#include "core/rng.h"

namespace tern {

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
