#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/tokenizer/pre_tokenizer.h"

#include <pcre2.h>

#include <algorithm>

#include "core/check.h"
#include "data/text/utf8.h"

namespace tern {
namespace {

// Oniguruma's \s is the property White_Space; PCRE2's has U+180E besides.
constexpr std::string_view kSpaces =
    "\\x09-\\x0D\\x20\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}"
    "\\x{3000}";
constexpr std::string_view kWordCharacters = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";

// a class of these characters, or of all others
std::string class_of(std::string_view characters, bool others = false) {
  std::string out = others ? "[^" : "[";
  out += characters;
  out += ']';
  return out;
}

// Reads a pattern once from left to right.
class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where)
      : pattern_(pattern), where_(where) {}

  std::string translate() {
    while (at_ < pattern_.size()) element();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    fail(Fault::input, where_, ": pattern ", std::string(pattern_.substr(0, 200)), ": character ",
         at_, ": ", what, " is not supported");
  }
  bool next_is(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  void take(std::size_t bytes) {
    out_ += pattern_.substr(at_, bytes);
    at_ += bytes;
  }

  void element() {
    const char c = pattern_[at_];
    if (c == '\\') return escape(false);
    if (c == '[') return character_class();
    if (c == '(') return group();
    if (c == '{') return repetition();
    if (c == '^' || c == '$') refuse(std::string("the anchor ") + c);
    take(1);
  }

  void repetition() {
    std::size_t end = at_ + 1;
    while (end < pattern_.size() && (isdigit(std::uint8_t(pattern_[end])) || pattern_[end] == ','))
      ++end;
    const bool counts =
        end < pattern_.size() && pattern_[end] == '}' && pattern_[at_ + 1] != ',' && end > at_ + 1;
    if (!counts) refuse("this {");
    take(end + 1 - at_);
    if (next_is("+") || next_is("?") || next_is("*")) refuse("a sign after {n,m}");
  }

  void group() {
    for (const std::string_view plain : {"(?:", "(?i:"})
      if (next_is(plain)) return take(plain.size());
    if (next_is("(?=") || next_is("(?!")) {
      take(3);
      const std::size_t begin = at_;
      if (next_is("["))
        character_class();
      else if (next_is("\\"))
        escape(false);
      else if (at_ < pattern_.size() && !strchr("()|^$.?*+{", pattern_[at_]))
        take(first_character(pattern_.substr(at_)).bytes);
      if (at_ == begin || !next_is(")")) refuse("look-ahead at more than one character");
      return take(1);
    }
    if (next_is("(?")) refuse("this kind of group");
    out_ += "(?:";
    ++at_;
  }

  void escape(bool in_class) {
    if (at_ + 1 >= pattern_.size()) refuse("a \\ at the end");
    const char c = pattern_[at_ + 1];
    const auto replace = [&](std::string_view in, const std::string& outside) {
      if (in_class)
        out_ += in;
      else
        out_ += outside;
      at_ += 2;
    };
    if (c == 's') return replace(kSpaces, class_of(kSpaces));
    if (c == 'S') return replace("\\P{White_Space}", class_of(kSpaces, true));
    if (c == 'w') return replace(kWordCharacters, class_of(kWordCharacters));
    if (c == 'W' && !in_class) return replace("", class_of(kWordCharacters, true));
    if (strchr("dDrntf", c) != nullptr) return take(2);
    const bool property = c == 'p' || c == 'P', braces = pattern_.substr(at_ + 2).starts_with('{');
    if ((property || c == 'x') && braces) {
      const std::size_t end = pattern_.find('}', at_);
      if (end == pattern_.npos) refuse("a { without }");
      if (!property) return take(end + 1 - at_);
      return property_of(end);
    }
    if (c == 'x' && at_ + 3 < pattern_.size() && isxdigit(std::uint8_t(pattern_[at_ + 2])) &&
        isxdigit(std::uint8_t(pattern_[at_ + 3])))
      return take(4);
    if (std::uint8_t(c) >= 0x80 || isalnum(std::uint8_t(c)))
      refuse(std::string("\\") + (std::uint8_t(c) < 0x80 ? c : '?'));
    take(2);
  }

  // \p{NAME}, \P{^NAME}. A name of two letters at most is a category. Others are scripts: a bare
  // one would mean Script_Extensions in PCRE2, and means Script in Oniguruma.
  void property_of(std::size_t end) {
    std::string name(pattern_.substr(at_ + 3, end - at_ - 3));
    const bool negated = name.starts_with('^');
    if (negated) name.erase(0, 1);
    const bool letters =
        std::ranges::all_of(name, [](char c) { return isalpha(std::uint8_t(c)) || c == '_'; });
    if (name.empty() || !letters) refuse("\\p{" + name + "}");
    out_ += pattern_.substr(at_, 3);
    if (negated) out_ += '^';
    if (name.size() > 2 && name != "Any") out_ += "sc:";
    out_ += name;
    out_ += '}';
    at_ = end + 1;
  }

  void character_class() {
    take(1);
    if (next_is("^")) take(1);
    if (next_is("]")) refuse("] at the beginning of a class");
    while (at_ < pattern_.size() && pattern_[at_] != ']') {
      if (pattern_[at_] == '\\')
        escape(true);
      else if (next_is("["))
        refuse("a class within a class");
      else if (next_is("&&"))
        refuse("&& in a class");
      else
        take(1);
    }
    if (at_ == pattern_.size()) refuse("a [ without ]");
    take(1);
  }

  std::string_view pattern_;
  const std::string& where_;
  std::string out_;
  std::size_t at_ = 0;
};

}  // namespace

std::string translated_pattern(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).translate();
}

std::string escaped_pattern(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (std::uint8_t(c) < 0x80 && !isalnum(std::uint8_t(c))) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

// A compiled pattern.
struct PreTokenizer::Pattern {
  std::string source, where;
  std::unique_ptr<pcre2_code, void (*)(pcre2_code*)> code{nullptr, pcre2_code_free};
};

PreTokenizer::PreTokenizer(const std::vector<std::string>& patterns, const std::string& where) {
  for (const std::string& source : patterns) {
    const auto pattern = std::make_shared<Pattern>();
    pattern->source = source;
    pattern->where = where;
    int error = 0;
    PCRE2_SIZE offset = 0;
    const std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
        pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
    pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context.get(), 100);
    pcre2_set_max_pattern_length(context.get(), std::size_t(64) << 10);
    const std::string text = translated_pattern(source, where);
    pattern->code.reset(pcre2_compile(PCRE2_SPTR(text.data()), text.size(),
                                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error,
                                      &offset, context.get()));
    const auto expect = [&](bool holds, const std::string& what) {
      require(holds, Fault::input, where, ": pattern ", source.substr(0, 200), ": ", what);
    };
    PCRE2_UCHAR message[200] = {};
    if (!pattern->code) pcre2_get_error_message(error, message, sizeof message);
    expect(pattern->code != nullptr,
           "is no regular expression: " + std::string(reinterpret_cast<const char*>(message)));
    std::uint32_t behind = 0, empty = 0;
    pcre2_pattern_info(pattern->code.get(), PCRE2_INFO_MAXLOOKBEHIND, &behind);
    pcre2_pattern_info(pattern->code.get(), PCRE2_INFO_MATCHEMPTY, &empty);
    expect(behind == 0, "looks behind, but text is encoded in parts: not supported");
    expect(empty == 0, "matches an empty text: not supported");
    pcre2_jit_compile(pattern->code.get(),
                      PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);  // or PCRE2 interprets it
    patterns_.push_back(pattern);
  }
}

// One pass over a text.
struct PreTokenizer::Scan {
  const PreTokenizer& splitter;
  const char* text;
  const Word& word;
  std::unique_ptr<pcre2_match_context, void (*)(pcre2_match_context*)> context{
      pcre2_match_context_create(nullptr), pcre2_match_context_free};
  std::unique_ptr<pcre2_jit_stack, void (*)(pcre2_jit_stack*)> stack{nullptr, pcre2_jit_stack_free};
  std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data{
      pcre2_match_data_create(1, nullptr), pcre2_match_data_free};

  Scan(const PreTokenizer& s, std::string_view t, const Word& w)
      : splitter(s), text(t.data()), word(w) {
    check(context && data, "[pre-tokenizer] no memory for a match");
    pcre2_set_match_limit(context.get(), 10'000'000);
    pcre2_set_depth_limit(context.get(), 100'000);
    pcre2_set_heap_limit(context.get(), 64 << 10);  // KiB
    stack.reset(pcre2_jit_stack_create(std::size_t(32) << 10, std::size_t(1) << 20, nullptr));
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }

  enum class Outcome { found, none, partial };
  struct Found {
    Outcome outcome;
    std::size_t begin = 0, end = 0;  // partial: begin only
  };

  Found match(const Pattern& p, std::size_t begin, std::size_t end, bool whole) {
    const int rc = pcre2_match(p.code.get(), PCRE2_SPTR(text + begin), end - begin, 0,
                               PCRE2_NO_UTF_CHECK | (whole ? 0 : PCRE2_PARTIAL_HARD), data.get(),
                               context.get());
    if (rc == PCRE2_ERROR_NOMATCH) return {Outcome::none};
    const PCRE2_SIZE* at = pcre2_get_ovector_pointer(data.get());
    if (rc == PCRE2_ERROR_PARTIAL) return {Outcome::partial, begin + at[0]};
    if (rc > 0 || rc == 0) return {Outcome::found, begin + at[0], begin + at[1]};
    PCRE2_UCHAR message[200] = {};
    pcre2_get_error_message(rc, message, sizeof message);
    fail(Fault::input, p.where, ": pattern ", p.source.substr(0, 200), ": byte ", begin,
         " of a text: ", reinterpret_cast<const char*>(message));
  }

  // the end of a window, between characters
  std::size_t window_end(std::size_t begin) const {
    std::size_t end = begin + kWindow;
    while ((std::uint8_t(text[end]) & 0xc0) == 0x80) --end;
    return end;
  }

  // As PreTokenizer::split with the patterns from `level` on, of the text from begin to end.
  std::size_t run(std::size_t level, std::size_t begin, std::size_t end, bool final) {
    if (level == splitter.patterns_.size()) {
      while (end - begin > kWindow) {
        const std::size_t cut = window_end(begin);
        word(begin, cut);
        begin = cut;
      }
      if (!final || begin == end) return begin;
      word(begin, end);
      return end;
    }
    const Pattern& pattern = *splitter.patterns_[level];
    std::size_t gap = begin;  // the beginning of the text without a match
    for (std::size_t at = begin; at < end;) {
      const std::size_t window = end - at > kWindow ? window_end(at) : end;
      const bool last = window == end;
      Found found = match(pattern, at, window, last && final);
      if (found.outcome == Outcome::partial && found.begin > at && !last) {
        at = found.begin;  // no match begins before; with a whole window
        continue;
      }
      if (found.outcome == Outcome::partial && last) return run(level + 1, gap, found.begin, false);
      if (found.outcome == Outcome::partial) found = match(pattern, at, window, true);
      if (found.outcome == Outcome::none) {
        at = window;
        continue;
      }
      if (gap < found.begin) run(level + 1, gap, found.begin, true);
      run(level + 1, found.begin, found.end, true);
      gap = at = found.end;
    }
    return run(level + 1, gap, end, final);
  }
};

std::size_t PreTokenizer::split(std::string_view text, bool final, const Word& word) const {
  return Scan(*this, text, word).run(0, 0, text.size(), final);
}

}  // namespace tern
