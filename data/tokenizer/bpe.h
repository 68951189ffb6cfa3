// Byte-pair merges on ids: of all neighbours that merge, those of the lowest rank first, the
// leftmost of equal ones. As in Sennrich et al. 2016 and the `tokenizers` library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tern {

struct Merge {
  std::int32_t left = 0, right = 0, product = 0;
  bool operator==(const Merge&) const = default;
};

class Bpe {
 public:
  // merges: by rank; of a pair that is there twice the last counts
  explicit Bpe(std::span<const Merge> merges);

  // Merges a word in place, in O(n log n) for n symbols. Any thread.
  void merge(std::vector<std::int32_t>& symbols) const;

 private:
  static constexpr std::uint32_t kNone = 0xffffffff;
  struct Entry {
    std::uint64_t pair = ~std::uint64_t(0);
    std::uint32_t rank = kNone;
    std::int32_t product = 0;
  };
  const Entry& find(std::int32_t left, std::int32_t right) const;
  std::size_t slot_of(std::uint64_t pair) const;
  void merge_short(std::vector<std::int32_t>& symbols) const;
  void merge_long(std::vector<std::int32_t>& symbols) const;

  std::vector<Entry> entries_;  // a power of two, at most half full
  unsigned shift_ = 0;
};

}  // namespace tern
