#include "data/tokenizer/sentencepiece_model.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <unordered_set>

#include "core/check.h"
#include "data/text/utf8.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

// A walk over the fields of one protocol-buffer message (wire format, proto2), no schema, nothing
// copied: every length is checked against the bytes that remain.
struct ProtobufField {
  std::uint32_t number = 0;
  std::uint64_t offset = 0;  // of its value in the file
  enum Wire { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 } wire = varint;
  std::uint64_t value = 0;     // of a varint or fixed field
  std::string_view content{};  // of a bytes field: text or an inner message
};

class ProtobufMessage {
 public:
  // offset: of bytes in the file that path names, for messages
  ProtobufMessage(std::string_view bytes, std::uint64_t offset, const std::filesystem::path& path)
      : bytes_(bytes), offset_(offset), path_(path) {}

  // the next field, or nothing at the end; Fault::input with the offset when the bytes are no
  // message
  std::optional<ProtobufField> next();

 private:
  std::uint64_t read_varint();
  std::uint64_t read_fixed(std::size_t bytes);
  std::string_view take(std::uint64_t bytes, const char* what);

  std::string_view bytes_;  // what remains
  std::uint64_t offset_;    // of what remains
  const std::filesystem::path& path_;
};

std::string_view ProtobufMessage::take(std::uint64_t bytes, const char* what) {
  require(bytes <= bytes_.size(), Fault::input, path_.string(), ": truncated at byte ", offset_,
          ": expected ", what, " of ", bytes, " B, ", bytes_.size(), " B remain");
  const std::string_view taken = bytes_.substr(0, bytes);
  bytes_.remove_prefix(bytes);
  offset_ += bytes;
  return taken;
}

std::uint64_t ProtobufMessage::read_varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto byte = std::uint8_t(take(1, "a number")[0]);
    value |= std::uint64_t(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  fail(Fault::input, path_.string(), ": byte ", offset_,
       ": not a SentencePiece model: a number is longer than ten bytes");
}

std::uint64_t ProtobufMessage::read_fixed(std::size_t bytes) {
  const std::string_view taken = take(bytes, "a number");
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value |= std::uint64_t(std::uint8_t(taken[i])) << 8 * i;
  return value;
}

std::optional<ProtobufField> ProtobufMessage::next() {
  if (bytes_.empty()) return std::nullopt;
  const std::uint64_t start = offset_;
  const std::uint64_t tag = read_varint();
  require(tag >> 3 > 0 && tag >> 3 < 1u << 29, Fault::input, path_.string(), ": byte ", start,
          ": not a SentencePiece model: field number ", tag >> 3, " does not exist");
  ProtobufField field{.number = std::uint32_t(tag >> 3), .offset = offset_};
  field.wire = ProtobufField::Wire(tag & 7);
  switch (field.wire) {
    case ProtobufField::varint:
      field.value = read_varint();
      break;
    case ProtobufField::fixed64:
      field.value = read_fixed(8);
      break;
    case ProtobufField::fixed32:
      field.value = read_fixed(4);
      break;
    case ProtobufField::bytes: {
      const std::uint64_t length = read_varint();
      field.offset = offset_;
      field.content = take(length, "a field");
      break;
    }
    default:
      fail(Fault::input, path_.string(), ": byte ", start,
           ": not a SentencePiece model: unknown wire type ", tag & 7);
  }
  return field;
}

using Field = ProtobufField;

void expect_wire(const Field& field, Field::Wire wire, const fs::path& path, const char* what) {
  require(field.wire == wire, Fault::input, path.string(), ": byte ", field.offset, ": ", what,
          ": expected wire type ", int(wire), ", got ", int(field.wire));
}

// "m.model: piece 17 (byte 3141)"
std::string place_of(std::size_t index, std::uint64_t offset, const fs::path& path) {
  return path.string() + ": piece " + std::to_string(index) + " (byte " + std::to_string(offset) +
         ")";
}

// Text for a message, without control characters and halves of characters.
std::string quoted(std::string_view text) {
  std::string shown = "'";
  for (const char c : text.substr(0, 40)) shown += c > ' ' && c < 127 ? c : '?';
  return shown + (text.size() > 40 ? "...'" : "'");
}

TokenPiece read_piece(const Field& message, std::size_t index, const fs::path& path) {
  const std::string place = place_of(index, message.offset, path);
  TokenPiece piece;
  ProtobufMessage fields(message.content, message.offset, path);
  while (const auto field = fields.next()) {
    if (field->number == 1) {
      expect_wire(*field, Field::bytes, path, "text of a piece");
      piece.text = field->content;
    } else if (field->number == 2) {
      expect_wire(*field, Field::fixed32, path, "score of a piece");
      piece.score = std::bit_cast<float>(std::uint32_t(field->value));
    } else if (field->number == 3) {
      expect_wire(*field, Field::varint, path, "type of a piece");
      require(field->value >= 1 && field->value <= 6, Fault::input, place,
              ": expected a type from 1 to 6, got ", field->value);
      piece.kind = PieceKind(field->value);
    }
  }
  const std::size_t length = piece.text.size();
  require(length > 0, Fault::input, place, ": is empty");
  require(length <= kMaxPieceBytes, Fault::input, place, ": expected at most ", kMaxPieceBytes,
          " B, got ", length);
  require(is_utf8(piece.text) && piece.text.find('\0') == piece.text.npos, Fault::input, place,
          ": ", quoted(piece.text), " is not UTF-8 text without NUL");
  require(std::isfinite(piece.score), Fault::input, place, ": ", quoted(piece.text),
          ": expected a finite score, got ", piece.score);
  require(piece.kind != PieceKind::byte || byte_of(piece.text) >= 0, Fault::input, place,
          ": expected a byte piece <0x00> to <0xFF>, got ", quoted(piece.text));
  return piece;
}

struct DeclaredId {
  const char* name;
  std::int64_t id;
};

struct Declared {
  bool trainer = false, normalizer = false;  // met; both are written after the pieces
  std::array<DeclaredId, 4> ids{{{"unk_id", 0}, {"bos_id", 1}, {"eos_id", 2}, {"pad_id", -1}}};
};

void read_trainer(const Field& message, SentencePieceModel& model, Declared& declared,
                  const fs::path& path) {
  ProtobufMessage fields(message.content, message.offset, path);
  while (const auto field = fields.next()) {
    const bool known = field->number == 3 || field->number == 24 || field->number == 35 ||
                       (field->number >= 40 && field->number <= 43);
    if (!known) continue;
    expect_wire(*field, Field::varint, path, "trainer settings");
    if (field->number == 3) {
      require(field->value >= 1 && field->value <= 4, Fault::input, path.string(), ": byte ",
              field->offset, ": expected a model type from 1 to 4, got ", field->value);
      model.type = SentencePieceModel::Type(field->value);
    } else if (field->number == 24) {
      model.space_as_suffix = field->value != 0;
    } else if (field->number == 35) {
      model.byte_fallback = field->value != 0;
    } else {
      declared.ids[field->number - 40].id = std::int64_t(field->value);
    }
  }
}

void read_normalizer(const Field& message, SentencePieceModel& model, const fs::path& path) {
  ProtobufMessage fields(message.content, message.offset, path);
  while (const auto field = fields.next()) {
    if (field->number == 2) {
      expect_wire(*field, Field::bytes, path, "normalisation rules");
      model.normalization = field->content;
    } else if (field->number >= 3 && field->number <= 5) {
      expect_wire(*field, Field::varint, path, "normaliser settings");
      bool& flag = field->number == 3   ? model.dummy_prefix
                   : field->number == 4 ? model.remove_extra_spaces
                                        : model.escape_spaces;
      flag = field->value != 0;
    }
  }
}

// SentencePiece keeps the user's symbols that match at one place in an array of 64.
void check_nesting(std::vector<std::string_view> symbols, const fs::path& path) {
  std::sort(symbols.begin(), symbols.end());
  std::vector<std::string_view> prefixes;
  for (const std::string_view symbol : symbols) {
    while (!prefixes.empty() && !symbol.starts_with(prefixes.back())) prefixes.pop_back();
    prefixes.push_back(symbol);
    require(prefixes.size() <= 64, Fault::input, path.string(),
            ": more than 64 user-defined pieces begin like ", quoted(symbol));
  }
}

// Checks that need all pieces.
void check_pieces(const SentencePieceModel& model, const Declared& declared, const fs::path& path) {
  const std::string name = path.string();
  require(!model.pieces.empty(), Fault::input, name, ": has no pieces: not a SentencePiece model?");
  require(declared.trainer && declared.normalizer, Fault::input, name,
          ": truncated: the settings after the pieces are missing");
  std::unordered_set<std::string_view> seen;
  std::vector<std::string_view> symbols;
  std::array<int, 256> bytes{};
  int unknown = 0;
  for (const TokenPiece& piece : model.pieces) {
    require(seen.insert(piece.text).second, Fault::input, name, ": piece ", quoted(piece.text),
            " is there twice");
    unknown += piece.kind == PieceKind::unknown;
    if (piece.kind == PieceKind::byte) bytes[std::size_t(byte_of(piece.text))] = 1;
    if (piece.kind == PieceKind::user_defined) symbols.push_back(piece.text);
  }
  check_nesting(std::move(symbols), path);
  require(unknown == 1, Fault::input, name, ": expected one unknown piece (<unk>), got ", unknown);
  int distinct = 0;
  for (const int present : bytes) distinct += present;
  require(distinct == (model.byte_fallback ? 256 : 0), Fault::input, name, ": byte fallback is ",
          model.byte_fallback ? "on: expected 256" : "off: expected 0", " byte pieces, got ",
          distinct);
  for (const auto& [what, id] : declared.ids)
    require(id >= -1 && id < std::int64_t(model.pieces.size()), Fault::input, name, ": ", what,
            ": expected -1 to ", model.pieces.size() - 1, ", got ", id);
}

// SentencePiece's own rules (nmt_nfkc_cf) take 0.3 MB; the walk below is bounded by this.
constexpr std::size_t kMaxRuleBytes = std::size_t(1) << 20;
// SentencePiece keeps the nested matches at one place in an array of this length.
constexpr std::uint8_t kMaxNestedMatches = 32;

// A unit of Darts-clone's double array (Yata, Darts-clone 0.32).
struct Unit {
  std::uint32_t bits;
  bool has_value() const { return (bits >> 8 & 1) != 0; }
  std::uint32_t value() const { return bits & 0x7fffffffu; }
  std::uint32_t label() const { return bits & 0x800000ffu; }
  std::uint32_t offset() const { return (bits >> 10) << ((bits & 0x200u) >> 6); }
};

}  // namespace

int byte_of(std::string_view piece) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  const auto high = digits.find(piece[3]), low = digits.find(piece[4]);
  return high == digits.npos || low == digits.npos ? -1 : int(high * 16 + low);
}

SentencePieceModel read_sentencepiece_model(std::string_view bytes, const fs::path& path) {
  require(bytes.size() <= kMaxTokenizerBytes, Fault::input, path.string(), ": expected at most ",
          kMaxTokenizerBytes, " B, got ", bytes.size());
  SentencePieceModel model;
  Declared declared;
  ProtobufMessage fields(bytes, 0, path);
  while (const auto field = fields.next()) {
    if (field->number < 1 || field->number > 5) continue;
    expect_wire(*field, Field::bytes, path, "a part of the model");
    if (field->number == 1) {
      require(model.pieces.size() < kMaxPieces, Fault::input, path.string(), ": has more than ",
              kMaxPieces, " pieces");
      model.pieces.push_back(read_piece(*field, model.pieces.size(), path));
    } else if (field->number == 2) {
      declared.trainer = true;
      read_trainer(*field, model, declared, path);
    } else if (field->number == 3) {
      declared.normalizer = true;
      read_normalizer(*field, model, path);
    } else if (field->number == 5) {
      SentencePieceModel decoding;
      read_normalizer(*field, decoding, path);
      model.denormalization = decoding.normalization;
    }
  }
  check_pieces(model, declared, path);
  if (!model.normalization.empty()) check_normalization(model.normalization, path);
  return model;
}

void check_normalization(std::string_view rules, const std::filesystem::path& path) {
  const auto expect = [&](bool holds, const char* what) {
    require(holds, Fault::input, path.string(), ": broken normalisation rules: ", what);
  };
  expect(rules.size() > 4 && rules.size() <= kMaxRuleBytes, "expected 4 B to 1 MiB of them");
  std::uint32_t trie_bytes;
  std::memcpy(&trie_bytes, rules.data(), 4);
  expect(trie_bytes >= 4 && trie_bytes % 4 == 0 && trie_bytes < rules.size() - 4,
         "the trie does not fit");
  std::vector<Unit> units(trie_bytes / 4);
  std::memcpy(units.data(), rules.data() + 4, trie_bytes);
  const std::string_view replacements = rules.substr(4 + trie_bytes);
  expect(replacements.back() == '\0', "a replacement has no end");

  // Every unit reachable by some text, with the most values met on a way to it. A node has its
  // children at base ^ byte, and its value at base.
  struct Node {
    std::uint32_t base;
    std::uint8_t matches;
  };
  std::vector<std::uint8_t> most(units.size(), 0);  // matches + 1; 0: not reached yet
  std::vector<Node> open{{units[0].offset(), 0}};
  while (!open.empty()) {
    const Node node = open.back();
    open.pop_back();
    expect((node.base | 255u) < units.size(), "the trie leads outside of itself");
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t at = node.base ^ byte;
      const Unit unit = units[at];
      if (unit.label() != byte) continue;
      const auto matches = std::uint8_t(node.matches + unit.has_value());
      if (most[at] > matches) continue;
      most[at] = std::uint8_t(matches + 1);
      const std::uint32_t base = at ^ unit.offset();
      expect(matches <= kMaxNestedMatches, "too many rules for one place");
      expect(base < units.size(), "the trie leads outside of itself");
      expect(!unit.has_value() || units[base].value() < replacements.size(),
             "a replacement lies outside of the file");
      open.push_back({base, matches});
    }
  }
}

}  // namespace tern
