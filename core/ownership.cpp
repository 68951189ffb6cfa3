#include "core/ownership.h"

#include <algorithm>
#include <numeric>

namespace tern {

Range even_part(Index count, Shard shard) {
  const Index first = count * shard.rank / shard.size;
  return {first, count * (shard.rank + 1) / shard.size - first};
}

std::vector<int> owners_of_matrices(std::span<const Index> elements, int ranks) {
  std::vector<std::size_t> order(elements.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return elements[a] > elements[b]; });
  std::vector<Index> held(std::size_t(ranks), 0);
  std::vector<int> owners(elements.size(), 0);
  for (const std::size_t matrix : order) {
    const auto least = std::min_element(held.begin(), held.end());
    *least += elements[matrix];
    owners[matrix] = int(least - held.begin());
  }
  return owners;
}

std::vector<Range> divide_rows(Index rows, Index row_elements, int ranks) {
  const Index group = 64 / std::gcd(row_elements, Index(64));  // rows
  std::vector<Range> shards;
  for (int r = 0; r < ranks; ++r) {
    const Range groups = even_part(rows / group, {r, ranks});
    shards.push_back({groups.first * group, groups.count * group});
  }
  shards.back().count = rows - shards.back().first;
  return shards;
}

}  // namespace tern
