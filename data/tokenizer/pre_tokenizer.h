// Splits text into words by regular expressions, as the pre-tokenizers Split, Digits and ByteLevel
// of the `tokenizers` library do: each match is a word, and so is what lies between two matches.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tern {

class PreTokenizer {
 public:
  // A match sees at most this much text, and longer words are cut: time and memory stay linear on
  // any input.
  static constexpr std::size_t kWindow = std::size_t(64) << 10;

  // Takes each pattern's words to the next pattern. Oniguruma's syntax as far as it means the same
  // in PCRE2; where names each pattern. Fault::input for anything else, for look-behind, for
  // look-ahead at more than one character, and for patterns that match an empty text.
  PreTokenizer(const std::vector<std::string>& patterns, const std::string& where);

  // The words of a text, in order: word(begin, end). final: the text ends here; otherwise only
  // words that hold for every continuation are given. Returns the end of the last word; from there
  // the text can be split like a new one. text: UTF-8. Fault::input where a match takes too many
  // steps.
  using Word = std::function<void(std::size_t begin, std::size_t end)>;
  std::size_t split(std::string_view text, bool final, const Word& word) const;

 private:
  struct Pattern;
  struct Scan;
  std::vector<std::shared_ptr<const Pattern>> patterns_;
};

// A pattern of Oniguruma in PCRE2's syntax. Fault::input, naming where, for what has no equal
// there.
std::string translated_pattern(std::string_view pattern, const std::string& where);

// text as a pattern that matches just this
std::string escaped_pattern(std::string_view text);

}  // namespace tern
