#include "data/tokenizer/bpe_tokenizer.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include "data/io/hash.h"
#include "data/text/utf8.h"

namespace tern {
namespace {

// Numbers and texts in a row, each as long as it says.
class Content {
 public:
  explicit Content(std::string_view kind) { add(kind); }
  void add(std::int64_t number) { hash_.update(std::as_bytes(std::span(&number, 1))); }
  void add(std::string_view text) {
    add(std::int64_t(text.size()));
    hash_.update(std::as_bytes(std::span(text)));
  }
  std::string hex() const { return hash_.hex(); }

 private:
  Hash hash_;
};

// The characters by which byte-level pieces spell bytes (GPT-2): printable ones stand for
// themselves, the others follow U+0100 in order.
const std::array<char32_t, 256>& byte_characters() {
  static const std::array<char32_t, 256> characters = [] {
    std::array<char32_t, 256> all{};
    char32_t other = 0x100;
    for (char32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
      all[b] = printable ? b : other++;
    }
    return all;
  }();
  return characters;
}

bool overlap(std::string_view a, std::string_view b) {
  if (a.find(b) != a.npos || b.find(a) != b.npos) return true;
  for (std::size_t n = 1; n < std::min(a.size(), b.size()); ++n)
    if (a.ends_with(b.substr(0, n)) || b.ends_with(a.substr(0, n))) return true;
  return false;
}

// Whether both pieces are runs of one character. Of equal score SentencePiece takes the leftmost
// pair; in a run that is the one with the longest left piece.
bool same_run(std::string_view a, std::string_view b) {
  const auto runs = [](std::string_view text, std::string_view character) {
    for (; !text.empty(); text.remove_prefix(character.size()))
      if (!text.starts_with(character)) return false;
    return true;
  };
  const std::string_view character = a.substr(0, first_character(a).bytes);
  return runs(a, character) && runs(b, character);
}

// whether user-defined pieces are found as added tokens are
bool user_pieces_fit(const SentencePieceModel& model) {
  for (const TokenPiece& user : model.pieces) {
    if (user.kind != PieceKind::user_defined) continue;
    if (model.dummy_prefix || user.text.size() > kMaxAddedTokenBytes) return false;
    for (const TokenPiece& control : model.pieces)
      if (control.kind == PieceKind::control && overlap(user.text, control.text)) return false;
  }
  return true;
}

}  // namespace

std::string with_spaces(std::string_view piece) {
  std::string text;
  while (!piece.empty()) {
    const bool space = piece.starts_with(kSpacePiece);
    text += space ? ' ' : piece[0];
    piece.remove_prefix(space ? kSpacePiece.size() : 1);
  }
  return text;
}

std::optional<std::string> bytes_of_piece(std::string_view piece) {
  static const std::map<char32_t, char> bytes = [] {
    std::map<char32_t, char> all;
    for (std::size_t b = 0; b < 256; ++b) all[byte_characters()[b]] = char(b);
    return all;
  }();
  std::string text;
  while (!piece.empty()) {
    const Character c = first_character(piece);
    const auto byte = bytes.find(c.code);
    if (byte == bytes.end()) return std::nullopt;
    text += byte->second;
    piece.remove_prefix(c.bytes);
  }
  return text;
}

std::array<std::int32_t, 256> byte_ids(const BpeTokenizer& t) {
  std::array<std::int32_t, 256> ids;
  ids.fill(-1);
  for (std::size_t id = 0; id < t.pieces.size(); ++id) {
    if (!t.in_model[id]) continue;
    if (t.byte_level) {
      const std::optional<std::string> bytes = bytes_of_piece(t.pieces[id]);
      if (bytes && bytes->size() == 1) ids[std::uint8_t(bytes->front())] = std::int32_t(id);
    } else if (t.kinds[id] == PieceKind::byte) {
      ids[std::size_t(byte_of(t.pieces[id]))] = std::int32_t(id);
    }
  }
  return ids;
}

std::string content_hash(const BpeTokenizer& t) {
  Content content("tern tokenizer 1: byte pairs");
  content.add(std::int64_t(t.pieces.size()));
  for (std::size_t id = 0; id < t.pieces.size(); ++id) {
    content.add(t.pieces[id]);
    content.add(std::int64_t(t.kinds[id]) * 2 + t.in_model[id]);
  }
  for (const Merge& m : t.merges)
    for (const std::int32_t id : {m.left, m.right, m.product}) content.add(id);
  const auto ids = byte_ids(t);
  const bool unknown = std::find(ids.begin(), ids.end(), -1) != ids.end();
  for (const bool flag : {t.byte_level, t.byte_fallback, t.ignore_merges, t.fuse_unk && unknown,
                          t.nfc, t.splits_at_spaces})
    content.add(flag);
  content.add(std::int64_t(t.prefix));
  for (const std::string& pattern : t.patterns) content.add(pattern);
  for (const std::int32_t id : {t.unk, t.bos, t.eos}) content.add(id);
  // special tokens are not taken from text: alone they change nothing
  const auto special = [](const AddedToken& a) { return a.special; };
  if (std::all_of(t.added.begin(), t.added.end(), special)) return content.hex();
  std::vector<AddedToken> added = t.added;
  std::sort(added.begin(), added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  content.add(t.replaces_first);
  for (const AddedToken& a : added) {
    content.add(a.id);
    for (const bool flag : {a.special, a.single_word, a.lstrip, a.rstrip, a.normalized})
      content.add(flag);
  }
  return content.hex();
}

std::optional<BpeTokenizer> as_merges(const SentencePieceModel& model, std::int32_t bos,
                                      std::int32_t eos) {
  const bool plain = model.type == SentencePieceModel::bpe && model.byte_fallback &&
                     model.normalization.empty() && model.denormalization.empty() &&
                     !model.remove_extra_spaces && model.escape_spaces && !model.space_as_suffix;
  if (!plain || !user_pieces_fit(model)) return std::nullopt;
  BpeTokenizer t{.byte_fallback = true, .replaces_first = true, .bos = bos, .eos = eos};
  std::unordered_map<std::string_view, std::int32_t> ids;
  std::vector<std::ptrdiff_t> lengths;  // characters of each piece
  for (const TokenPiece& piece : model.pieces) {
    lengths.push_back(std::count_if(piece.text.begin(), piece.text.end(),
                                    [](char c) { return (std::uint8_t(c) & 0xc0) != 0x80; }));
    const auto id = std::int32_t(t.pieces.size());
    if (piece.kind == PieceKind::unused) return std::nullopt;
    t.pieces.emplace_back(piece.text);
    t.kinds.push_back(piece.kind);
    t.in_model.push_back(true);
    if (piece.kind == PieceKind::unknown) t.unk = id;
    if (piece.kind == PieceKind::normal || piece.kind == PieceKind::user_defined)
      ids.emplace(piece.text, id);
    const bool user = piece.kind == PieceKind::user_defined;
    if (user || piece.kind == PieceKind::control || piece.kind == PieceKind::unknown)
      t.added.push_back(
          {.content = t.pieces.back(), .id = id, .special = !user, .normalized = user});
  }
  if (!ids.contains(kSpacePiece)) return std::nullopt;
  if (model.dummy_prefix) t.prefix = BpeTokenizer::Prefix::always;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {  // no text has a space any more
    const std::string_view text = model.pieces[id].text;
    if (model.pieces[id].kind != PieceKind::normal || text.find(' ') != text.npos) continue;
    for (std::size_t left = text.size() - 1; left > 0; --left) {  // the longest first
      const auto l = ids.find(text.substr(0, left)), r = ids.find(text.substr(left));
      if (l != ids.end() && r != ids.end())
        t.merges.push_back({l->second, r->second, std::int32_t(id)});
    }
  }
  // the better score first; of equal ones the longer left piece, then the longer right one
  const auto before = [&](const Merge& a, const Merge& b) {
    const auto key = [&](const Merge& m) {
      return std::tuple(model.pieces[std::size_t(m.product)].score, lengths[std::size_t(m.left)],
                        lengths[std::size_t(m.right)]);
    };
    return key(a) > key(b);
  };
  std::stable_sort(t.merges.begin(), t.merges.end(), before);
  for (std::size_t i = 1; i < t.merges.size(); ++i) {
    const TokenPiece& a = model.pieces[std::size_t(t.merges[i - 1].product)];
    const TokenPiece& b = model.pieces[std::size_t(t.merges[i].product)];
    if (a.score == b.score && a.text != b.text && !same_run(a.text, b.text)) return std::nullopt;
  }
  return t;
}

std::string content_hash(const SentencePieceModel& model, std::int32_t bos, std::int32_t eos) {
  Content content("tern tokenizer 1: SentencePiece");
  for (const TokenPiece& piece : model.pieces) {
    std::uint32_t score;
    std::memcpy(&score, &piece.score, sizeof score);
    content.add(piece.text);
    content.add(std::int64_t(score));
    content.add(std::int64_t(piece.kind));
  }
  content.add(std::int64_t(model.type));
  for (const bool flag : {model.byte_fallback, model.space_as_suffix, model.dummy_prefix,
                          model.remove_extra_spaces, model.escape_spaces})
    content.add(flag);
  content.add(model.normalization);
  content.add(model.denormalization);
  content.add(bos);
  content.add(eos);
  return content.hex();
}

}  // namespace tern
