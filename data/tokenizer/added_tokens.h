// Tokens that are taken from text before words are: tokenizer.json's added_tokens. As in the
// `tokenizers` library with encode_special_tokens, special ones are found but not taken.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tern {

constexpr std::size_t kMaxAddedTokenBytes = 1024;

struct AddedToken {
  std::string content{};
  std::int32_t id = 0;
  bool special = false;
  bool single_word = false;             // only where no word character is next to it
  bool lstrip = false, rstrip = false;  // takes white space on its left, its right
  bool normalized = false;              // is looked for in the normalised text
};

// Unicode's White_Space
bool is_white_space(char32_t code);

class AddedTokenMatcher {
 public:
  AddedTokenMatcher() = default;
  // contents are those to look for. Tokens are ignored if all of them are special.
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  bool empty() const { return tokens_.empty(); }
  std::size_t longest() const { return longest_; }  // bytes of a content

  struct Match {
    std::size_t begin, end;  // with the white space that is stripped
    std::size_t content;     // where the content begins
    std::int32_t id;
  };
  // The matches in a text, from left to right, the longest at each place.
  std::vector<Match> find(std::string_view text) const;

  // Whether both sides of a place in a text can be searched by themselves.
  bool divides(std::string_view text, std::size_t at) const;
  bool strips_left() const { return strips_left_; }

 private:
  // the longest token at the beginning of a text, or -1
  int longest_at(std::string_view text) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::uint64_t, std::uint32_t> children_;  // node << 8 | byte: node
  std::vector<int> ends_;                                      // node: token, or -1
  std::vector<bool> begins_ = std::vector<bool>(256);          // bytes that begin a token
  std::size_t longest_ = 0;
  bool strips_left_ = false, strips_ = false;
};

}  // namespace tern
