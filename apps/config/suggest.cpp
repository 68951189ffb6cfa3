#include "apps/config/suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace tern {

namespace {

constexpr std::size_t kLongest = 64;  // nobody mistypes more than that

// Levenshtein, one row at a time
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t(0));
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
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
