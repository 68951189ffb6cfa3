#include "data/tokenizer/bpe.h"

#include <algorithm>
#include <array>
#include <bit>
#include <queue>

namespace tern {
namespace {

constexpr std::size_t kShort = 48;  // symbols; up to here a scan per merge is faster than a heap

std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
  return std::uint64_t(std::uint32_t(left)) << 32 | std::uint32_t(right);
}

}  // namespace

Bpe::Bpe(std::span<const Merge> merges)
    : entries_(std::bit_ceil(std::max<std::size_t>(2, 2 * merges.size()))),
      shift_(64 - unsigned(std::countr_zero(entries_.size()))) {
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::uint64_t pair = pair_of(merges[rank].left, merges[rank].right);
    entries_[slot_of(pair)] = {pair, std::uint32_t(rank), merges[rank].product};
  }
}

std::size_t Bpe::slot_of(std::uint64_t pair) const {
  std::size_t slot = (pair * 0x9e3779b97f4a7c15u) >> shift_;
  while (entries_[slot].rank != kNone && entries_[slot].pair != pair)
    slot = (slot + 1) & (entries_.size() - 1);
  return slot;
}

const Bpe::Entry& Bpe::find(std::int32_t left, std::int32_t right) const {
  return entries_[slot_of(pair_of(left, right))];
}

void Bpe::merge(std::vector<std::int32_t>& symbols) const {
  if (symbols.size() <= kShort)
    merge_short(symbols);
  else
    merge_long(symbols);
}

void Bpe::merge_short(std::vector<std::int32_t>& symbols) const {
  std::array<Entry, kShort> next{};  // of each symbol and its right neighbour
  std::size_t n = symbols.size();
  for (std::size_t i = 0; i + 1 < n; ++i) next[i] = find(symbols[i], symbols[i + 1]);
  while (n > 1) {
    const auto best =
        std::min_element(next.begin(), next.begin() + std::ptrdiff_t(n - 1),
                         [](const Entry& a, const Entry& b) { return a.rank < b.rank; });
    if (best->rank == kNone) break;
    const auto at = std::size_t(best - next.begin());
    symbols[at] = best->product;
    symbols.erase(symbols.begin() + std::ptrdiff_t(at) + 1);
    --n;
    std::copy(best + 1, next.begin() + std::ptrdiff_t(n), best);
    if (at + 1 < n) next[at] = find(symbols[at], symbols[at + 1]);
    if (at > 0) next[at - 1] = find(symbols[at - 1], symbols[at]);
  }
}

void Bpe::merge_long(std::vector<std::int32_t>& symbols) const {
  struct Candidate {
    std::uint32_t rank;
    std::size_t at;
    std::int32_t left, right, product;
    bool operator<(const Candidate& other) const {  // the first in a queue is the greatest
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  const std::size_t n = symbols.size();
  std::vector<std::size_t> next(n), previous(n);
  std::vector<bool> gone(n);
  std::vector<Candidate> first;
  const auto candidate = [&](std::size_t left, std::size_t right) -> Candidate {
    const Entry& e = find(symbols[left], symbols[right]);
    return {e.rank, left, symbols[left], symbols[right], e.product};
  };
  for (std::size_t i = 0; i < n; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;  // of the first: never read
    if (i + 1 == n) break;
    if (const Candidate c = candidate(i, i + 1); c.rank != kNone) first.push_back(c);
  }
  std::priority_queue<Candidate> queue(std::less<Candidate>(), std::move(first));
  while (!queue.empty()) {
    const Candidate c = queue.top();
    queue.pop();
    const std::size_t right = next[c.at];
    if (gone[c.at] || right == n || symbols[c.at] != c.left || symbols[right] != c.right) continue;
    symbols[c.at] = c.product;
    gone[right] = true;
    next[c.at] = next[right];
    if (next[c.at] < n) previous[next[c.at]] = c.at;
    if (c.at > 0)
      if (const Candidate l = candidate(previous[c.at], c.at); l.rank != kNone) queue.push(l);
    if (next[c.at] < n)
      if (const Candidate r = candidate(c.at, next[c.at]); r.rank != kNone) queue.push(r);
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < n; i = next[i]) symbols[kept++] = symbols[i];
  symbols.resize(kept);
}

}  // namespace tern
