// A pseudorandom permutation of 0..n-1 that is computed, not stored: a Feistel network on Philox,
// walked along its cycle until it lands below n (Black and Rogaway 2002).
#pragma once

#include <cstdint>

namespace tern {

class Permutation {
 public:
  Permutation(std::uint64_t n, std::uint64_t key);
  std::uint64_t operator()(std::uint64_t i) const;  // i < n

 private:
  std::uint64_t encrypt(std::uint64_t x) const;

  std::uint64_t n_, key_;
  int half_bits_ = 1;  // the network permutes 0 .. 4^half_bits - 1, less than 4 n
};

}  // namespace tern
