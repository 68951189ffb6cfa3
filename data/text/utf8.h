// UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF. Invalid
// text is read byte by byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tern {

constexpr char32_t kInvalidCharacter = 0xffffffff;

struct Character {
  char32_t code;        // kInvalidCharacter: the first byte starts no character
  std::uint32_t bytes;  // 1 to 4; 1 when invalid
};

// the first character of a text that is not empty
Character first_character(std::string_view text);

// Number of bytes at the end (0 to 3) that begin a character which the text cuts off.
std::size_t incomplete_suffix(std::string_view text);

bool is_utf8(std::string_view text);

std::size_t count_characters(std::string_view text);

// The bytes of white space at the end, as Python's str.rstrip() sees it.
std::size_t trailing_white_space(std::string_view text);

}  // namespace tern
