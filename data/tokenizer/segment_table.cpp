#include "data/tokenizer/segment_table.h"

#include <xxhash.h>

namespace tern {
namespace {

constexpr std::size_t kFirstEntries = std::size_t(1) << 12;
constexpr std::size_t kMaxSegments = std::size_t(1) << 19;
constexpr std::size_t kMaxTextBytes = std::size_t(32) << 20;

std::uint64_t hash_of(std::string_view segment) {
  return XXH3_64bits(segment.data(), segment.size());
}

}  // namespace

SegmentTable::SegmentTable() : entries_(kFirstEntries) {}

std::size_t SegmentTable::slot_of(std::string_view segment, std::uint64_t hash) const {
  const std::size_t mask = entries_.size() - 1;
  for (std::size_t slot = hash & mask;; slot = (slot + 1) & mask) {
    const Entry& e = entries_[slot];
    if (e.length == 0) return slot;
    if (e.hash == hash && std::string_view(texts_.data() + e.text, e.length) == segment)
      return slot;
  }
}

std::optional<std::span<const std::int32_t>> SegmentTable::find(std::string_view segment) const {
  const Entry& e = entries_[slot_of(segment, hash_of(segment))];
  if (e.length == 0) return std::nullopt;
  return std::span(ids_).subspan(e.ids, e.count);
}

void SegmentTable::insert(std::string_view segment, std::span<const std::int32_t> ids) {
  if (size_ == kMaxSegments || texts_.size() + segment.size() > kMaxTextBytes) clear();
  if ((size_ + 1) * 3 > entries_.size() * 2) grow();
  const std::uint64_t hash = hash_of(segment);
  entries_[slot_of(segment, hash)] = {hash, std::uint32_t(texts_.size()),
                                      std::uint32_t(segment.size()), std::uint32_t(ids_.size()),
                                      std::uint32_t(ids.size())};
  texts_ += segment;
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  ++size_;
}

void SegmentTable::clear() {
  entries_.assign(kFirstEntries, {});
  texts_.clear();
  ids_.clear();
  size_ = 0;
}

void SegmentTable::grow() {
  std::vector<Entry> old(entries_.size() * 2);
  old.swap(entries_);
  for (const Entry& e : old)
    if (e.length > 0) entries_[slot_of({texts_.data() + e.text, e.length}, e.hash)] = e;
}

}  // namespace tern
