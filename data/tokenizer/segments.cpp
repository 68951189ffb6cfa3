#include "data/tokenizer/segments.h"

#include <algorithm>

#include "data/text/utf8.h"

namespace tern {
namespace {

constexpr char32_t kSpacePiece = 0x2581;  // how pieces spell a space

std::uint64_t key_of(char32_t left, char32_t right) {
  return std::uint64_t(left) << 32 | right;
}

}  // namespace

Segments::Segments(std::span<const TokenPiece> pieces) : exact_(true) {
  for (const TokenPiece& piece : pieces) {
    if (piece.kind == PieceKind::byte || piece.kind == PieceKind::control) continue;
    char32_t left = kInvalidCharacter;
    for (std::string_view rest = piece.text; !rest.empty();) {
      const auto [code, bytes] = first_character(rest);
      const char32_t right = code == kSpacePiece ? U' ' : code;
      if (left < 128 && right < 128)
        ascii_.set(left * 128 + right);
      else if (left != kInvalidCharacter)
        others_.insert(key_of(left, right));
      left = right;
      rest.remove_prefix(bytes);
    }
  }
}

Segments Segments::before_spaces() {
  return {};
}

bool Segments::joined(char32_t left, char32_t right) const {
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

std::size_t Segments::exact_end(std::string_view text, std::size_t begin) const {
  Character last = first_character(text.substr(begin));
  std::size_t at = begin + last.bytes;
  while (at < text.size()) {
    const Character next = first_character(text.substr(at));
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

}  // namespace tern
