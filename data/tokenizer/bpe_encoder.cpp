#include "data/tokenizer/bpe_encoder.h"

#include <xxhash.h>

#include <algorithm>

#include "data/tokenizer/nfc.h"

namespace tern {
namespace {

using Prefix = BpeTokenizer::Prefix;

// Bytes of the beginning of a text that are UTF-8, at least all ASCII of it.
std::size_t valid_prefix(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (std::uint8_t(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const Character c = first_character(text.substr(at));
    if (c.code == kInvalidCharacter) break;
    at += c.bytes;
  }
  return at;
}

std::size_t broken_prefix(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && first_character(text.substr(at)).code == kInvalidCharacter) ++at;
  return at;
}

// Tokens as they are looked for in normalised text.
std::vector<AddedToken> normalized_tokens(const BpeTokenizer& t) {
  std::vector<AddedToken> tokens;
  for (AddedToken token : t.added) {
    if (!token.normalized) continue;
    if (t.nfc) token.content = nfc(token.content);
    if (t.replaces_first) token.content = with_spaces(token.content);
    if (t.replaces_first && t.prefix == Prefix::always) token.content = ' ' + token.content;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

std::vector<AddedToken> raw_tokens(const BpeTokenizer& t) {
  std::vector<AddedToken> tokens = t.added;
  std::erase_if(tokens, [](const AddedToken& token) { return token.normalized; });
  return tokens;
}

std::vector<std::string> model_pieces(const BpeTokenizer& t) {
  std::vector<std::string> pieces;
  for (std::size_t id = 0; id < t.pieces.size(); ++id)
    if (t.in_model[id] && t.kinds[id] != PieceKind::byte) pieces.push_back(t.pieces[id]);
  return pieces;
}

}  // namespace

// Consecutive text that is treated alike.
struct BpeEncoder::Section {
  std::string_view text;
  bool final = true;       // its end is known
  bool prefix = false;     // it may get a space before it
  bool begins = false;     // the document begins with it
  std::size_t offset = 0;  // of its first byte in the visited text
  // Where the text was rewritten: places in it and in the visited text, in pairs.
  std::shared_ptr<const std::vector<std::pair<std::size_t, std::size_t>>> places = nullptr;
  std::size_t skipped = 0;  // bytes of the rewritten text before this section

  std::size_t place(std::size_t at) const {
    if (!places) return offset + at;
    const auto found =
        std::lower_bound(places->begin(), places->end(), std::pair(skipped + at, std::size_t(0)));
    return found != places->end() && found->first == skipped + at ? found->second : 0;
  }
  Section part(std::size_t begin, std::size_t end) const {
    Section out = *this;
    out.text = text.substr(begin, end - begin);
    out.offset += begin;
    out.skipped += begin;
    out.begins = begins && begin == 0;
    return out;
  }
  // the same section of another text, unit after unit: rewritten(unit) of each
  template <class Rewrite, class EndOfUnit>
  void rewrite(std::string& buffer, bool prefix_space, bool wants_places,
               const EndOfUnit& end_of_unit, const Rewrite& rewritten) {
    auto pairs = std::make_shared<std::vector<std::pair<std::size_t, std::size_t>>>();
    buffer.assign(std::size_t(prefix_space), ' ');
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = end_of_unit(at);
      buffer += rewritten(text.substr(at, end - at));
      at = end;
      if (const std::size_t in_text = wants_places ? place(at) : 0)
        pairs->emplace_back(buffer.size(), in_text);
    }
    places = std::move(pairs);
    skipped = 0;
    text = buffer;
  }
};

BpeEncoder::BpeEncoder(BpeTokenizer tokenizer)
    : tokenizer_(std::move(tokenizer)),
      bpe_(tokenizer_.merges),
      pre_tokenizer_(tokenizer_.patterns, "pre_tokenizer"),
      segments_(tokenizer_.byte_level
                    ? Segments::before_spaces()
                    : Segments(model_pieces(tokenizer_), tokenizer_.splits_at_spaces,
                               !tokenizer_.byte_fallback)),
      raw_(raw_tokens(tokenizer_)),
      normalized_(normalized_tokens(tokenizer_)),
      byte_ids_(byte_ids(tokenizer_)) {
  for (std::size_t id = 0; id < tokenizer_.pieces.size(); ++id) {
    const std::string& piece = tokenizer_.pieces[id];
    if (!tokenizer_.in_model[id]) continue;
    if (!tokenizer_.byte_level) {
      if (piece.find(' ') == piece.npos) words_.emplace(with_spaces(piece), std::int32_t(id));
    } else if (auto bytes = bytes_of_piece(piece); bytes && tokenizer_.ignore_merges) {
      words_.emplace(std::move(*bytes), std::int32_t(id));
    }
  }
}

template <class Visit>
void BpeEncoder::visit_between(const AddedTokenMatcher& matcher, const Section& section,
                               const Visitor& to, const Visit& visit_section) const {
  if (matcher.empty()) return visit_section(section);
  std::size_t known = section.text.size();  // up to here it is known where tokens begin
  if (!section.final) {
    known -= std::min(known, matcher.longest() + 4);
    while (known > 0 && (std::uint8_t(section.text[known]) & 0xc0) == 0x80) --known;
  }
  std::size_t at = 0;
  for (const AddedTokenMatcher::Match& match : matcher.find(section.text)) {
    if (!section.final && (match.content >= known || match.end == section.text.size())) {
      known = std::min(known, match.begin);
      break;
    }
    if (at < match.begin) {
      Section before = section.part(at, match.begin);
      before.final = true;
      before.prefix = at == 0 ? section.prefix : true;
      visit_section(before);
    }
    at = match.end;  // also where it lies in white space that the match before took
    to.token(match.id, tokenizer_.prefix == Prefix::none ? section.place(at) : 0);
  }
  if (!section.final && matcher.strips_left())
    while (known > at) {
      std::size_t last = known - 1;
      while (last > at && (std::uint8_t(section.text[last]) & 0xc0) == 0x80) --last;
      if (!is_white_space(first_character(section.text.substr(last)).code)) break;
      known = last;
    }
  if (at >= known) return;
  Section rest = section.part(at, known);
  rest.prefix = at == 0 ? section.prefix : true;
  visit_section(rest);
}

void BpeEncoder::visit_valid(const Section& run, const Visitor& to) const {
  visit_between(raw_, run, to, [&](Section section) {
    std::string buffer;
    if (tokenizer_.nfc && std::any_of(section.text.begin(), section.text.end(),
                                      [](char c) { return std::uint8_t(c) >= 0xcc; })) {
      const std::string_view text = section.text;
      const auto next = [&](std::size_t at) {  // the beginning of the next composition
        do at += first_character(text.substr(at)).bytes;
        while (at < text.size() && !begins_composition(first_character(text.substr(at)).code));
        return at;
      };
      if (!section.final) {  // the last composition may go on
        std::size_t known = text.size();
        while (known > 0) {
          do --known;
          while (known > 0 && (std::uint8_t(text[known]) & 0xc0) == 0x80);
          if (begins_composition(first_character(text.substr(known)).code)) break;
        }
        section.text = text.substr(0, known);
      }
      std::string whole = nfc(section.text);
      if (whole != section.text) {
        if (to.wants_ends) {
          section.rewrite(
              buffer, false, true,
              [&](std::size_t at) { return std::min(next(at), section.text.size()); }, nfc);
        } else {
          buffer = std::move(whole);
          section.text = buffer;
        }
      }
    }
    if (tokenizer_.replaces_first) {
      const bool prefix = section.prefix && tokenizer_.prefix == Prefix::always;
      section.prefix = false;
      if (prefix || section.text.find(kSpacePiece) != section.text.npos) {
        const std::string_view text = section.text;
        section.rewrite(
            buffer, prefix, to.wants_ends,
            [&](std::size_t at) { return at + first_character(text.substr(at)).bytes; },
            [](std::string_view c) { return c == kSpacePiece ? std::string_view(" ") : c; });
      }
    }
    visit_between(normalized_, section, to, [&](const Section& part) { visit_words(part, to); });
  });
}

void BpeEncoder::visit_words(Section section, const Visitor& to) const {
  std::string buffer;
  const bool metaspace = !tokenizer_.byte_level && !tokenizer_.replaces_first;
  const bool begins_with_space =
      section.text.starts_with(' ') || (metaspace && section.text.starts_with(kSpacePiece));
  const bool prefix = !section.text.empty() && !begins_with_space &&
                      ((tokenizer_.prefix == Prefix::missing && section.prefix) ||
                       (tokenizer_.prefix == Prefix::first && section.begins));
  if (prefix || (metaspace && section.text.find(kSpacePiece) != section.text.npos)) {
    const std::string_view text = section.text;
    section.rewrite(
        buffer, prefix, to.wants_ends,
        [&](std::size_t at) { return at + first_character(text.substr(at)).bytes; },
        [&](std::string_view c) {
          return metaspace && c == kSpacePiece ? std::string_view(" ") : c;
        });
  }
  const std::string_view text = section.text;
  if (tokenizer_.byte_level) {
    pre_tokenizer_.split(text, section.final, [&](std::size_t begin, std::size_t end) {
      to.word(text.substr(begin, end - begin), to.wants_ends ? section.place(end) : 0);
    });
    return;
  }
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = segments_.end(text, at);
    if (end == text.size() && !section.final) break;
    to.word(text.substr(at, end - at), to.wants_ends ? section.place(end) : 0);
    at = end;
  }
}

void BpeEncoder::visit(std::string_view text, bool document_begins, bool final,
                       const Visitor& to) const {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t valid = valid_prefix(text.substr(at));
    if (valid > 0)
      visit_valid({.text = text.substr(at, valid),
                   .final = final || at + valid < text.size(),
                   .prefix = document_begins && at == 0,
                   .begins = document_begins && at == 0,
                   .offset = at},
                  to);
    at += valid;
    const std::size_t broken = broken_prefix(text.substr(at));
    // the space before a text, as a .model has it, whatever the text begins with
    if (broken > 0 && at == 0 && document_begins && tokenizer_.prefix == Prefix::always)
      to.word(" ", 0);
    if (broken > 0) to.broken(text.substr(at, broken), at + broken);
    at += broken;
  }
}

void BpeEncoder::append(std::string_view text, bool document_begins, SegmentTable& known,
                        std::vector<std::int32_t>& ids) const {
  std::vector<std::int32_t> fresh;
  Visitor to;
  to.word = [&](std::string_view word, std::size_t) {
    if (const auto found = known.find(word)) {
      ids.insert(ids.end(), found->begin(), found->end());
      return;
    }
    fresh.clear();
    append_word(word, fresh);
    known.insert(word, fresh);
    ids.insert(ids.end(), fresh.begin(), fresh.end());
  };
  to.token = [&](std::int32_t id, std::size_t) { ids.push_back(id); };
  to.broken = [&](std::string_view bytes, std::size_t) {
    for (const char byte : bytes) {
      const std::int32_t id = byte_ids_[std::uint8_t(byte)];
      if (id >= 0 || tokenizer_.unk >= 0) ids.push_back(id >= 0 ? id : tokenizer_.unk);
    }
  };
  visit(text, document_begins, true, to);
}

void BpeEncoder::append_word(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (tokenizer_.ignore_merges)
    if (const auto whole = words_.find(std::string(word)); whole != words_.end()) {
      ids.push_back(whole->second);
      return;
    }
  bool unknown = false;  // the character before has no piece
  const auto add = [&](std::int32_t id) {
    const bool fused = id < 0 && unknown && tokenizer_.fuse_unk;
    unknown = id < 0;
    if (id < 0) id = tokenizer_.unk;
    if (id >= 0 && !fused) ids.push_back(id);
  };
  if (tokenizer_.byte_level) {
    for (const char byte : word) add(byte_ids_[std::uint8_t(byte)]);
  } else {
    for (std::string_view rest = word; !rest.empty();) {
      const std::size_t bytes = first_character(rest).bytes;
      const auto piece = words_.find(std::string(rest.substr(0, bytes)));
      if (piece != words_.end())
        add(piece->second);
      else if (tokenizer_.byte_fallback && rest[0] == ' ')  // no piece for U+2581
        for (const char byte : kSpacePiece) add(byte_ids_[std::uint8_t(byte)]);
      else if (tokenizer_.byte_fallback)
        for (const char byte : rest.substr(0, bytes)) add(byte_ids_[std::uint8_t(byte)]);
      else
        add(-1);
      rest.remove_prefix(bytes);
    }
  }
  bpe_.merge(ids);
}

std::vector<BpeEncoder::Item> BpeEncoder::items(std::string_view text, bool document_begins,
                                                bool final) const {
  std::vector<Item> all;
  const Visitor to{.wants_ends = true,
                   .word =
                       [&](std::string_view word, std::size_t end) {
                         all.push_back({XXH3_64bits(word.data(), word.size()), end});
                       },
                   .token =
                       [&](std::int32_t id, std::size_t end) {
                         all.push_back({std::uint64_t(id), end});
                       },
                   .broken =
                       [&](std::string_view bytes, std::size_t end) {
                         all.push_back({bytes.size(), end});
                       }};
  visit(text, document_begins, final, to);
  return all;
}

bool BpeEncoder::divides(std::string_view text, std::size_t at) const {
  const bool plain = raw_.empty() && normalized_.empty() && !tokenizer_.nfc;
  if (plain) return true;
  if (at == text.size()) return false;
  const auto around = [&](std::size_t bytes) {
    const std::size_t begin = at - std::min(at, bytes);
    return std::pair(text.substr(begin, at - begin), text.substr(at, bytes));
  };
  const auto [left, right] = around(raw_.longest() + 8);
  if (!raw_.divides(std::string(left).append(right), left.size())) return false;
  const Character next = first_character(text.substr(at));
  if (tokenizer_.nfc && next.code != kInvalidCharacter && !begins_composition(next.code))
    return false;
  if (normalized_.empty()) return true;
  auto [before, after] = around(4 * normalized_.longest() + 16);
  while (!before.empty() && (std::uint8_t(before[0]) & 0xc0) == 0x80) before.remove_prefix(1);
  after.remove_suffix(incomplete_suffix(after));
  if (!is_utf8(before) || !is_utf8(after)) return false;
  const auto rewritten = [&](std::string_view part) {
    return tokenizer_.nfc              ? nfc(part)
           : tokenizer_.replaces_first ? with_spaces(part)
                                       : std::string(part);
  };
  const std::string first = rewritten(before);
  return normalized_.divides(first + rewritten(after), first.size());
}

// Whether the text up to the end of items[last] gives these items also without what follows it. A
// match sees at most a window: what is more than that before the end cannot change.
bool BpeEncoder::same_alone(std::string_view text, const std::vector<Item>& items, std::size_t last,
                            bool document_begins) const {
  constexpr std::size_t kSeen = PreTokenizer::kWindow + 4 * kMaxAddedTokenBytes;
  const std::size_t end = items[last].end;
  std::size_t first = last + 1, begin = 0;  // items from `first` on, text from `begin` on
  for (; first > 0; --first) {
    const std::size_t at = items[first - 1].end;
    if (at == 0 || at + kSeen > end || !divides(text, at)) continue;
    begin = at;
    break;
  }
  const std::vector<Item> alone =
      this->items(text.substr(begin, end - begin), document_begins && begin == 0, true);
  return std::equal(alone.begin(), alone.end(), items.begin() + std::ptrdiff_t(first),
                    items.begin() + std::ptrdiff_t(last) + 1,
                    [](const Item& a, const Item& b) { return a.hash == b.hash; });
}

std::size_t BpeEncoder::complete_prefix(std::string_view text) const {
  constexpr int kTrials = 64;
  text.remove_suffix(incomplete_suffix(text));
  const std::vector<Item> found = items(text, false, false);
  std::vector<Item> begun;  // the same at the beginning of a document, where that matters
  if (tokenizer_.prefix != Prefix::none) begun = items(text, true, false);
  int trials = 0;
  for (std::size_t i = found.size(); i-- > 0 && trials < kTrials;) {
    const std::size_t end = found[i].end;
    if (end == 0 || !divides(text, end)) continue;
    ++trials;
    if (!same_alone(text, found, i, false)) continue;
    if (tokenizer_.prefix == Prefix::none) return end;
    const auto other = std::find_if(begun.rbegin(), begun.rend(),
                                    [&](const Item& item) { return item.end == end; });
    if (other != begun.rend() &&
        same_alone(text, begun, std::size_t(begun.rend() - other) - 1, true))
      return end;
  }
  return 0;
}

bool BpeEncoder::lossless() const {
  const BpeTokenizer& t = tokenizer_;
  const auto strips = [](const AddedToken& a) { return !a.special && (a.lstrip || a.rstrip); };
  if (!t.byte_level || t.nfc || t.prefix != Prefix::none ||
      std::any_of(t.added.begin(), t.added.end(), strips))
    return false;
  const auto spelled = [&](std::int32_t id) {
    if (id < 0) return false;
    const PieceKind kind = t.kinds[std::size_t(id)];
    const std::string& piece = t.pieces[std::size_t(id)];
    return kind == PieceKind::normal ||
           (kind == PieceKind::user_defined && bytes_of_piece(piece) == piece);
  };
  if (!std::all_of(byte_ids_.begin(), byte_ids_.end(), spelled)) return false;
  for (const Merge& m : t.merges)
    if (!spelled(m.product)) return false;
  for (const auto& [word, id] : words_)
    if (!spelled(id)) return false;
  return true;
}

}  // namespace tern
