#include "core/rng.h"

#include <cmath>
#include <numbers>

namespace tern {

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
