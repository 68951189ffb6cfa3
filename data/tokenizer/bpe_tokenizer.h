// What a byte-pair tokenizer consists of, whichever file it was read from, and the hash of that.
#pragma once

#include <optional>
#include <string>

#include "data/tokenizer/added_tokens.h"
#include "data/tokenizer/bpe.h"
#include "data/tokenizer/sentencepiece_model.h"

namespace tern {

struct BpeTokenizer {
  // by id, as in the file: a piece spells a space as U+2581, or each byte as GPT-2's character for
  // it;
  // "": an id without a piece. Pieces of the model are those that merges work on.
  std::vector<std::string> pieces{};
  std::vector<PieceKind> kinds{};
  std::vector<bool> in_model{};
  std::vector<Merge> merges{};      // by rank
  std::vector<AddedToken> added{};  // in the order of the file

  bool byte_level = false;  // else U+2581 stands for a space
  bool byte_fallback = false;
  bool ignore_merges = false;  // a word that is a piece is this piece
  bool fuse_unk = false;       // several unknown characters are one unknown piece
  bool nfc = false;

  // A space before a section (what lies between two added tokens): before each, each that does not
  // begin with one, or this only where the document begins.
  enum class Prefix { none, always, missing, first } prefix = Prefix::none;
  bool replaces_first = false;    // spaces become U+2581 before normalized added tokens are matched
  bool splits_at_spaces = false;  // each U+2581 begins a word
  std::vector<std::string> patterns{};  // that split text into words, see PreTokenizer

  std::int32_t unk = -1, bos = -1, eos = -1;
};

// The ids of the 256 bytes, where the tokenizer has pieces for them; else -1.
std::array<std::int32_t, 256> byte_ids(const BpeTokenizer& tokenizer);

// The bytes that a piece of a byte-level tokenizer stands for; nothing if some character stands for
// none.
std::optional<std::string> bytes_of_piece(std::string_view piece);

// "▁two▁" spells " two "
std::string with_spaces(std::string_view piece);

// XXH3-128, in hex, of everything that decides ids and text.
std::string content_hash(const BpeTokenizer& tokenizer);

// A SentencePiece model as merges: all pairs of pieces that join to a piece, those of the best
// score first, then those with the longest left piece, as `transformers` orders them. Nothing for
// what merges cannot express: unigrams, normalisation, removed spaces, no byte fallback, unused
// pieces, pieces of equal score that are not runs of one character, user-defined pieces with a
// dummy prefix or that overlap a control piece.
std::optional<BpeTokenizer> as_merges(const SentencePieceModel& model, std::int32_t bos,
                                      std::int32_t eos);

// The hash of a model that as_merges does not express: of all its pieces, scores and settings.
std::string content_hash(const SentencePieceModel& model, std::int32_t bos, std::int32_t eos);

}  // namespace tern
