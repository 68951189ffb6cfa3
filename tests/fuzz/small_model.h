// The bytes of a small lossless tokenizer.model: 263 pieces.
#pragma once

#include <string>

namespace tern::fuzz {

inline std::string small_model() {
  const auto field = [](int number, const std::string& content) {
    return std::string{char(number << 3 | 2), char(content.size())} + content;
  };
  const auto piece = [&](const std::string& text, char kind) {
    return field(1, field(1, text) + std::string{3 << 3, kind});
  };
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string model = piece("<unk>", 2) + piece("<s>", 3) + piece("</s>", 3);
  for (std::size_t b = 0; b < 256; ++b)
    model += piece(std::string("<0x") + digits[b / 16] + digits[b % 16] + '>', 6);
  for (const char* text : {"\u2581", "a", "b", "ab"}) model += piece(text, 1);
  // byte pairs, byte fallback; no dummy space, spaces are kept
  const std::string trainer{3 << 3, 2, char(35 << 3 | 128), 2, 1};
  return model + field(2, trainer) + field(3, std::string{3 << 3, 0, 4 << 3, 0});
}

}  // namespace tern::fuzz
