// What the core counts in a token: the cycles in which each unit is busy, and what each cycle was
// for the issue. The numbers and bits are those of tern_pkg.sv.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tern::rtl {

enum class Unit { memory, row, quantizer, scalar, product, argmax, count };
enum class Issue { issues, fetches, unit, source, destination, end, count };
inline constexpr int kUnits = int(Unit::count), kIssueStates = int(Issue::count);
inline constexpr int kCounterBits = 40;

inline constexpr std::array<std::string_view, kUnits> kUnitNames = {
    "memory", "row", "quantizer", "scalar", "product", "argmax"};
inline constexpr std::array<std::string_view, kIssueStates> kIssueNames = {
    "issues",           "fetches",        "waits for unit",
    "waits for source", "waits to write", "waits for the end"};

// One for each unit, then one for each state of the issue.
using Counters = std::array<std::int64_t, std::size_t(kUnits + kIssueStates)>;
constexpr std::size_t counter_of(Unit unit) {
  return std::size_t(unit);
}
constexpr std::size_t counter_of(Issue state) {
  return std::size_t(kUnits) + std::size_t(state);
}

}  // namespace tern::rtl
