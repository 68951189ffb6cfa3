// Segments of a text: parts that encode to the same ids alone as within the whole. Byte-pair merges
// join neighbours only. Between two characters that are neighbours in no piece nothing merges, so
// the text left and right of that point is encoded independently, exactly.
#pragma once

#include <bitset>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>

#include "data/text/utf8.h"
#include "data/tokenizer/sentencepiece_model.h"

namespace tern {

class Segments {
 public:
  // A longer run without such a point is cut at this length, between characters: linear time on any
  // input. Text without such runs gets the ids of the undivided text.
  static constexpr std::size_t kLongest = std::size_t(64) << 10;

  explicit Segments(std::span<const TokenPiece> pieces);
  // The same for the text of a tokenizer.json, in which U+2581 means a space. split_spaces: each
  // space begins a segment. join_unknown: there is no cut next to a character without a piece.
  Segments(const std::vector<std::string>& pieces, bool split_spaces, bool join_unknown);
  // For tokenizers that rewrite text, where no cut is exact: only texts longer than kLongest are
  // cut, before spaces.
  static Segments before_spaces();

  // the end of the segment that begins at `begin` < text.size(); at most kLongest bytes on
  std::size_t end(std::string_view text, std::size_t begin) const;

  // Length of the whole segments at the beginning of a text, for any continuation of the text. At
  // least 1 for texts longer than 2 * kLongest.
  std::size_t complete_prefix(std::string_view text) const;

 private:
  Segments() = default;
  void join_characters_of(std::string_view piece);
  bool joined(char32_t left, char32_t right) const;
  Character character_at(std::string_view text, std::size_t at) const;
  std::size_t exact_end(std::string_view text, std::size_t begin) const;

  bool exact_ = false;
  bool space_pieces_ = false, split_spaces_ = false;
  std::unordered_set<char32_t>
      known_;                     // characters with a piece; empty: unknown ones are not joined
  std::bitset<128 * 128> ascii_;  // left * 128 + right: some piece has these neighbours
  std::unordered_set<std::uint64_t> others_;
};

// The ids of earlier segments: a hash table of one thread, bounded in memory, cleared when full.
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
  // the slot of the segment, or an empty one for it
  std::size_t slot_of(std::string_view segment, std::uint64_t hash) const;
  void clear();
  void grow();

  std::vector<Entry> entries_;  // a power of two, at most two thirds full
  std::string texts_;
  std::vector<std::int32_t> ids_;
  std::size_t size_ = 0;
};

}  // namespace tern
