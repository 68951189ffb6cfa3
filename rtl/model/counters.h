// What the core counts in a token: the cycles in which each unit is busy, what each cycle was for
// the issue, and what those of a product were for the array. The numbers and bits are those of
// tern_pkg.sv.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tern::rtl {

enum class Unit { memory, row, quantizer, scalar, product, argmax, count };
enum class Issue { issues, fetches, queue, end, count };
enum class Array { multiplies, tiles, codes, count };
inline constexpr int kUnits = int(Unit::count), kIssueStates = int(Issue::count),
                     kArrayStates = int(Array::count);
inline constexpr int kCounterBits = 40;

inline constexpr std::array<std::string_view, kUnits> kUnitNames = {
    "memory", "row", "quantizer", "scalar", "product", "argmax"};
inline constexpr std::array<std::string_view, kIssueStates> kIssueNames = {
    "issues", "fetches", "waits for a queue", "waits for the end"};
inline constexpr std::array<std::string_view, kArrayStates> kArrayNames = {
    "multiplies", "waits for tiles", "waits for codes"};

// One for each unit, then one for each state of the issue and of the array.
using Counters = std::array<std::int64_t, std::size_t(kUnits + kIssueStates + kArrayStates)>;
constexpr std::size_t counter_of(Unit unit) {
  return std::size_t(unit);
}
constexpr std::size_t counter_of(Issue state) {
  return std::size_t(kUnits) + std::size_t(state);
}
constexpr std::size_t counter_of(Array state) {
  return std::size_t(kUnits + kIssueStates) + std::size_t(state);
}

}  // namespace tern::rtl
