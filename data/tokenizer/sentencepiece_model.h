// The contents of a SentencePiece model file, read by a bounded walk over its protocol buffer.
// SentencePiece 0.1.97 does not check its files, so it loads only models that passed here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace tern {

constexpr std::uint64_t kMaxTokenizerBytes = std::uint64_t(64) << 20;
constexpr std::size_t kMaxPieces = 1'000'000;
constexpr std::size_t kMaxPieceBytes = std::size_t(16) << 10;

inline constexpr std::string_view kSpacePiece = "\u2581";  // how pieces spell a space

enum class PieceKind { normal = 1, unknown, control, user_defined, unused, byte };

struct TokenPiece {
  std::string_view text{};  // UTF-8; U+2581 stands for a space
  float score = 0;
  PieceKind kind = PieceKind::normal;
};

struct SentencePieceModel {
  std::vector<TokenPiece> pieces{};
  enum Type { unigram = 1, bpe, word, character } type = unigram;
  bool byte_fallback = false;
  bool space_as_suffix = false;
  bool dummy_prefix = true;  // a space is put before every text
  bool remove_extra_spaces = true;
  bool escape_spaces = true;
  std::string_view normalization{};    // the compiled rules; empty: text is taken as it is
  std::string_view denormalization{};  // the same for decoding
};

// The views point into bytes. path is for messages. Fault::input names the defect: limits, not a
// protocol buffer, no piece, a piece that is empty, doubled, too long or not UTF-8, a score that is
// not finite, byte pieces malformed or missing, not exactly one unknown piece, ids out of range.
SentencePieceModel read_sentencepiece_model(std::string_view bytes,
                                            const std::filesystem::path& path);

// 0 to 255 for a byte piece: "<0x00>" to "<0xFF>"; -1 for anything else
int byte_of(std::string_view piece);

// Compiled normalisation rules: a double-array trie whose indices SentencePiece follows unchecked.
// Fault::input when one leads outside of it or of the replacement texts.
void check_normalization(std::string_view rules, const std::filesystem::path& path);

}  // namespace tern
