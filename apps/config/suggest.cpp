#include "apps/config/suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace tern {

namespace {

constexpr std::size_t kLongest = 64;  // longer words are not compared

// Letters inserted, left out, replaced, or swapped with their neighbour (optimal string alignment).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1), above(row), above_that(row);
  std::iota(row.begin(), row.end(), std::size_t(0));
  for (std::size_t i = 1; i <= a.size(); ++i) {
    above_that.swap(above);
    above.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j - 1] + (a[i - 1] != b[j - 1]), row[j - 1] + 1, above[j] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], above_that[j - 2] + 1);
    }
  }
  return row[b.size()];
}

bool near(std::size_t distance, std::string_view wrong) {
  return distance <= std::max<std::size_t>(1, wrong.size() / 3);
}

}  // namespace

std::string nearest(std::string_view wrong, const std::vector<std::string>& names) {
  std::string best;
  if (wrong.empty() || wrong.size() > kLongest) return best;
  std::size_t least = kLongest;
  for (const std::string& name : names)
    if (const std::size_t d = distance(wrong, name); near(d, wrong) && d < least) {
      best = name;
      least = d;
    }
  return best;
}

std::string nearest_key(const ConfigSchema& schema, std::string_view table, std::string_view key) {
  std::string best;
  if (key.empty() || key.size() > kLongest || table.size() > kLongest) return best;
  std::size_t least = 3 * kLongest;
  for (const ConfigSection& section : schema)
    for (const ConfigKey& candidate : section.keys) {
      const std::size_t d = distance(key, candidate.name);
      const std::size_t score = 2 * d + std::min<std::size_t>(distance(table, section.name), 3);
      if (near(d, key) && score < least) {
        best = fmt::format("{}.{}", section.name, candidate.name);
        least = score;
      }
    }
  return best;
}

std::string nearest_table(const ConfigSchema& schema, std::string_view table) {
  std::vector<std::string> names;
  for (const ConfigSection& section : schema) names.push_back(section.name);
  return nearest(table, names);
}

}  // namespace tern
