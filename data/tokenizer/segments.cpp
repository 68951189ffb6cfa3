#include "data/tokenizer/segments.h"

#include <xxhash.h>

#include <algorithm>

namespace tern {
namespace {

constexpr char32_t kSpaceCharacter = 0x2581;  // of kSpacePiece

std::uint64_t key_of(char32_t left, char32_t right) {
  return std::uint64_t(left) << 32 | right;
}

constexpr std::size_t kFirstEntries = std::size_t(1) << 12;
constexpr std::size_t kMaxSegments = std::size_t(1) << 19;
constexpr std::size_t kMaxTextBytes = std::size_t(32) << 20;

std::uint64_t hash_of(std::string_view segment) {
  return XXH3_64bits(segment.data(), segment.size());
}

}  // namespace

Segments::Segments(std::span<const TokenPiece> pieces) : exact_(true) {
  for (const TokenPiece& piece : pieces)
    if (piece.kind != PieceKind::byte && piece.kind != PieceKind::control)
      join_characters_of(piece.text);
}

Segments::Segments(const std::vector<std::string>& pieces, bool split_spaces, bool join_unknown)
    : exact_(true), space_pieces_(true), split_spaces_(split_spaces) {
  for (const std::string& piece : pieces) {
    join_characters_of(piece);
    if (!join_unknown || piece.empty()) continue;
    const Character first = character_at(piece, 0);
    if (first.bytes == piece.size()) known_.insert(first.code);
  }
}

void Segments::join_characters_of(std::string_view piece) {
  char32_t left = kInvalidCharacter;
  for (std::string_view rest = piece; !rest.empty();) {
    const auto [code, bytes] = first_character(rest);
    const char32_t right = code == kSpaceCharacter ? U' ' : code;
    if (left < 128 && right < 128)
      ascii_.set(left * 128 + right);
    else if (left != kInvalidCharacter)
      others_.insert(key_of(left, right));
    left = right;
    rest.remove_prefix(bytes);
  }
}

Segments Segments::before_spaces() {
  return {};
}

bool Segments::joined(char32_t left, char32_t right) const {
  if (split_spaces_ && right == ' ') return false;
  if (!known_.empty() && (!known_.contains(left) || !known_.contains(right))) return true;
  if (left < 128 && right < 128) return ascii_[left * 128 + right];
  return others_.contains(key_of(left, right));
}

std::size_t Segments::end(std::string_view text, std::size_t begin) const {
  if (exact_) return exact_end(text, begin);
  if (text.size() - begin <= kLongest) return text.size();
  const std::size_t space = text.rfind(' ', begin + kLongest);
  if (space != text.npos && space > begin) return space;
  return begin + kLongest - incomplete_suffix(text.substr(begin, kLongest));
}

Character Segments::character_at(std::string_view text, std::size_t at) const {
  const Character c = first_character(text.substr(at));
  return {space_pieces_ && c.code == kSpaceCharacter ? U' ' : c.code, c.bytes};
}

std::size_t Segments::exact_end(std::string_view text, std::size_t begin) const {
  Character last = character_at(text, begin);
  std::size_t at = begin + last.bytes;
  while (at < text.size()) {
    const Character next = character_at(text, at);
    if (!joined(last.code, next.code) || at + next.bytes - begin > kLongest) break;
    last = next;
    at += next.bytes;
  }
  return at;
}

std::size_t Segments::complete_prefix(std::string_view text) const {
  text.remove_suffix(incomplete_suffix(text));
  const std::size_t stop = text.size() - std::min(text.size(), kLongest);
  for (std::size_t i = text.size(); exact_ && i > stop + 1; --i) {  // usually ends within a word
    const auto left = std::uint8_t(text[i - 2]), right = std::uint8_t(text[i - 1]);
    if (left < 128 && right < 128 && !joined(left, right)) return i - 1;
  }
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t next = end(text, begin);
    if (next == text.size()) break;
    begin = next;
  }
  return begin;
}

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
