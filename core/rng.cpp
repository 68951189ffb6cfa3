#include "core/rng.h"

#include <cmath>
#include <numbers>

namespace tern {

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> c,
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

std::array<std::uint32_t, 4> Rng::block(std::uint64_t index) const {
  return philox({std::uint32_t(index), std::uint32_t(index >> 32), std::uint32_t(stream_),
                 std::uint32_t(stream_ >> 32)},
                {std::uint32_t(seed_), std::uint32_t(seed_ >> 32)});
}

std::uint64_t Rng::bits(std::uint64_t index) const {
  const auto b = block(index);
  return std::uint64_t(b[1]) << 32 | b[0];
}

double Rng::uniform(std::uint64_t index) const {
  return (double(bits(index) >> 11) + 0.5) * 0x1p-53;
}

double Rng::normal(std::uint64_t index) const {
  const auto b = block(index);
  const auto unit = [](std::uint32_t high, std::uint32_t low) {
    return (double((std::uint64_t(high) << 32 | low) >> 11) + 0.5) * 0x1p-53;
  };
  return std::sqrt(-2 * std::log(unit(b[1], b[0]))) *
         std::cos(2 * std::numbers::pi * unit(b[3], b[2]));
}

}  // namespace tern
