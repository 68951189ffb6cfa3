// The ids of segments met before: a hash table of one thread, bounded in memory, that forgets
// everything when it is full.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tern {

class SegmentTable {
 public:
  SegmentTable();

  // valid until the next insert
  std::optional<std::span<const std::int32_t>> find(std::string_view segment) const;
  // of a segment that find does not know
  void insert(std::string_view segment, std::span<const std::int32_t> ids);

 private:
  struct Entry {
    std::uint64_t hash = 0;
    std::uint32_t text = 0, length = 0;  // in texts_; length 0: empty
    std::uint32_t ids = 0, count = 0;    // in ids_
  };
  // where the segment is, or would be
  std::size_t slot_of(std::string_view segment, std::uint64_t hash) const;
  void clear();
  void grow();

  std::vector<Entry> entries_;  // a power of two, at most two thirds full
  std::string texts_;
  std::vector<std::int32_t> ids_;
  std::size_t size_ = 0;
};

}  // namespace tern
