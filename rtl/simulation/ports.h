// Bits of the ports of what Verilator makes, whatever their C++ types are.
#pragma once

#include <verilated.h>

#include <algorithm>
#include <concepts>
#include <cstdint>

namespace tern::rtl {

// Bits [at, at + width) of a port; width <= 64.
template <std::size_t N>
void put(VlWide<N>& port, int at, int width, std::uint64_t value) {
  for (int i = 0; i < width;) {
    const int word = (at + i) / 32, bit = (at + i) % 32, take = std::min(32 - bit, width - i);
    const std::uint32_t mask = (take == 32 ? ~0u : (1u << take) - 1) << bit;
    port[word] = (port[word] & ~mask) | (std::uint32_t(value >> i) << bit & mask);
    i += take;
  }
}
template <std::integral Port>
void put(Port& port, int at, int width, std::uint64_t value) {
  const std::uint64_t mask = width == 64 ? ~0ull : (1ull << width) - 1;
  port = Port((port & ~(mask << at)) | (value & mask) << at);
}
template <std::size_t N>
std::uint64_t get(const VlWide<N>& port, int at, int width) {
  std::uint64_t value = 0;
  for (int i = 0; i < width;) {
    const int word = (at + i) / 32, bit = (at + i) % 32, take = std::min(32 - bit, width - i);
    const std::uint32_t mask = take == 32 ? ~0u : (1u << take) - 1;
    value |= std::uint64_t(port[word] >> bit & mask) << i;
    i += take;
  }
  return value;
}
template <std::integral Port>
std::uint64_t get(const Port& port, int at, int width) {
  const std::uint64_t mask = width == 64 ? ~0ull : (1ull << width) - 1;
  return std::uint64_t(port) >> at & mask;
}

}  // namespace tern::rtl
