// Counter-based random numbers (Philox4x32-10, Salmon et al. 2011): a number is a pure function of
// (seed, stream, index), so it does not depend on threads, ranks or what was drawn before.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tern {

// one Philox4x32-10 block: 128 random bits for this counter and key
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key);

// FNV-1a: the stream of a tensor is the hash of its name, the same in every process.
constexpr std::uint64_t stream_of(std::string_view name) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const char c : name) h = (h ^ std::uint8_t(c)) * 0x100000001b3u;
  return h;
}

class Rng {
 public:
  explicit Rng(std::uint64_t seed, std::uint64_t stream = 0) : seed_(seed), stream_(stream) {}
  std::uint64_t bits(std::uint64_t index) const;  // 64 random bits
  double uniform(std::uint64_t index) const;      // in (0, 1), 53 bits
  double normal(std::uint64_t index) const;       // mean 0, variance 1 (Box-Muller)

 private:
  std::array<std::uint32_t, 4> block(std::uint64_t index) const;
  std::uint64_t seed_, stream_;
};

}  // namespace tern
