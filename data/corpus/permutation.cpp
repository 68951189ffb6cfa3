#include "data/corpus/permutation.h"

#include <bit>

#include "core/check.h"
#include "core/rng.h"

namespace tern {

Permutation::Permutation(std::uint64_t n, std::uint64_t key) : n_(n), key_(key) {
  check(n > 0 && n <= std::uint64_t(1) << 62, "[permutation] expected 1 to 2^62 items, got ", n);
  if (n > 1) half_bits_ = (std::bit_width(n - 1) + 1) / 2;
}

std::uint64_t Permutation::operator()(std::uint64_t i) const {
  check(i < n_, "[permutation] expected an index below ", n_, ", got ", i);
  do i = encrypt(i);
  while (i >= n_);
  return i;
}

std::uint64_t Permutation::encrypt(std::uint64_t x) const {
  constexpr std::uint32_t kRounds = 6;
  const std::uint64_t mask = (std::uint64_t(1) << half_bits_) - 1;
  std::uint64_t left = x >> half_bits_, right = x & mask;
  for (std::uint32_t round = 0; round < kRounds; ++round) {
    const auto random = philox({std::uint32_t(right), round, 0, 0},
                               {std::uint32_t(key_), std::uint32_t(key_ >> 32)});
    const std::uint64_t next = left ^ (random[0] & mask);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

}  // namespace tern
