#include "data/tokenizer/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>

#include "data/text/utf8.h"

namespace tern {
namespace {

// \w of Rust's regular expressions: Alphabetic, marks, decimal digits, connectors, joiners.
bool is_word_character(char32_t c) {
  if (c == 0x200c || c == 0x200d) return true;
  const bool circled = (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
                       (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
  const utf8proc_category_t category = utf8proc_category(utf8proc_int32_t(c));
  return circled || (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) ||
         category == UTF8PROC_CATEGORY_PC;
}

// the last character of valid text that is not empty
Character last_character(std::string_view text) {
  std::size_t begin = text.size() - 1;
  while (begin > 0 && (std::uint8_t(text[begin]) & 0xc0) == 0x80) --begin;
  return first_character(text.substr(begin));
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && is_word_character(last_character(text).code);
}
bool starts_with_word(std::string_view text) {
  return !text.empty() && is_word_character(first_character(text).code);
}

}  // namespace

bool is_white_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) {
  const auto special = [](const AddedToken& t) { return t.special; };
  if (std::all_of(tokens.begin(), tokens.end(), special)) return;
  tokens_ = std::move(tokens);
  ends_.push_back(-1);
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    std::uint32_t node = 0;
    for (const char c : token.content) {
      const auto [child, made] = children_.try_emplace(std::uint64_t(node) << 8 | std::uint8_t(c),
                                                       std::uint32_t(ends_.size()));
      if (made) ends_.push_back(-1);
      node = child->second;
    }
    ends_[node] = int(i);
    begins_[std::uint8_t(token.content[0])] = true;
    longest_ = std::max(longest_, token.content.size());
    strips_left_ = strips_left_ || token.lstrip;
    strips_ = strips_ || token.lstrip || token.rstrip;
  }
}

int AddedTokenMatcher::longest_at(std::string_view text) const {
  std::uint32_t node = 0;
  int longest = -1;
  for (const char c : text) {
    const auto child = children_.find(std::uint64_t(node) << 8 | std::uint8_t(c));
    if (child == children_.end()) break;
    node = child->second;
    if (ends_[node] >= 0) longest = ends_[node];
  }
  return longest;
}

std::vector<AddedTokenMatcher::Match> AddedTokenMatcher::find(std::string_view text) const {
  std::vector<Match> matches;
  if (empty()) return matches;
  std::size_t taken = 0;  // the end of the last match, with what it strips
  for (std::size_t at = 0; at < text.size();) {
    const int found = begins_[std::uint8_t(text[at])] ? longest_at(text.substr(at)) : -1;
    if (found < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[std::size_t(found)];
    const std::size_t content = at;
    std::size_t begin = at, end = at + token.content.size();
    at = end;
    if (token.special) continue;
    if (token.single_word &&
        (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end))))
      continue;
    while (token.lstrip && begin > taken) {
      const Character c = last_character(text.substr(0, begin));
      if (!is_white_space(c.code)) break;
      begin -= c.bytes;
    }
    while (token.rstrip && end < text.size()) {
      const Character c = first_character(text.substr(end));
      if (!is_white_space(c.code)) break;
      end += c.bytes;
    }
    matches.push_back({begin, end, content, token.id});
    taken = end;
  }
  return matches;
}

bool AddedTokenMatcher::divides(std::string_view text, std::size_t at) const {
  if (empty()) return true;
  for (std::size_t begin = at - std::min(at, longest_); begin <= at && begin < text.size();
       ++begin) {
    if (!begins_[std::uint8_t(text[begin])]) continue;
    std::uint32_t node = 0;
    for (std::size_t i = begin; i < text.size(); ++i) {
      const auto child = children_.find(std::uint64_t(node) << 8 | std::uint8_t(text[i]));
      if (child == children_.end()) break;
      node = child->second;
      if (ends_[node] < 0) continue;
      const AddedToken& token = tokens_[std::size_t(ends_[node])];
      const std::size_t end = i + 1;
      if (begin < at && end > at) return false;
      if (end == at && (token.single_word || token.rstrip)) return false;
      if (begin == at && token.single_word) return false;
    }
  }
  return !strips_ || at == 0 || !is_white_space(last_character(text.substr(0, at)).code);
}

}  // namespace tern
