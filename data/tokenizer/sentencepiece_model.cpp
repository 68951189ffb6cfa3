#include "data/tokenizer/sentencepiece_model.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <string>
#include <unordered_set>

#include "core/check.h"
#include "data/text/utf8.h"
#include "data/tokenizer/protobuf.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
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

// no control character or half a character reaches the message
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

// What needs all pieces.
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

}  // namespace tern
