// Counter-based random numbers (Philox4x32-10, Salmon et al. 2011): a number is a pure function of
// (seed, stream, index), so it does not depend on threads, ranks or what was drawn before.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace tern {

// One Philox4x32-10 block: 128 random bits for this counter and key. constexpr, and so the same
// code on a GPU.
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> c,
                                              std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t(0xD2511F53u) * c[0];
    const std::uint64_t b = std::uint64_t(0xCD9E8D57u) * c[2];
    c = {std::uint32_t(b >> 32) ^ c[1] ^ key[0], std::uint32_t(b),
         std::uint32_t(a >> 32) ^ c[3] ^ key[1], std::uint32_t(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return c;
}

// FNV-1a: the stream of a tensor is the hash of its name, the same in every process.
constexpr std::uint64_t stream_of(std::string_view name) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const char c : name) h = (h ^ std::uint8_t(c)) * 0x100000001b3u;
  return h;
}

class Rng {
 public:
  constexpr explicit Rng(std::uint64_t seed, std::uint64_t stream = 0)
      : seed_(seed), stream_(stream) {}
  // 128 random bits; the others are made of these
  constexpr std::array<std::uint32_t, 4> block(std::uint64_t index) const {
    return philox({std::uint32_t(index), std::uint32_t(index >> 32), std::uint32_t(stream_),
                   std::uint32_t(stream_ >> 32)},
                  {std::uint32_t(seed_), std::uint32_t(seed_ >> 32)});
  }
  std::uint64_t bits(std::uint64_t index) const;  // 64 random bits
  double uniform(std::uint64_t index) const;      // in (0, 1], 53 bits
  double normal(std::uint64_t index) const;       // mean 0, variance 1 (Box-Muller)
  // The same numbers, several times as fast: those of first, first + 1, ...
  void uniforms(std::uint64_t first, std::span<double> to) const;
  void normals(std::uint64_t first, std::span<double> to) const;

 private:
  std::uint64_t seed_, stream_;
};

}  // namespace tern
