// Trains a byte-pair tokenizer that keeps every text exactly: SentencePiece's own defaults destroy
// newlines and runs of spaces.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "data/text/sources.h"

namespace tern {

struct TokenizerTraining {
  std::int32_t vocab_size = 0;  // pieces in all: unk, bos, eos, 256 bytes, characters, merges
  // SentencePiece keeps its input in memory several times over; of more text a random, evenly
  // spread sample of this size is used, the same in every run.
  std::uint64_t max_bytes = std::uint64_t(64) << 20;
  std::uint64_t max_bad = 0;  // JSON lines that may be skipped
  DocumentRules rules{};      // of files
  // The share of the text whose characters get a piece, the most frequent first; bytes spell the
  // others. 0: 0.9995, or less if those characters would leave no pieces to merge.
  double character_coverage = 0;
  Notice notice{};  // takes a line about a coverage that was lowered
};

// next: the text in parts of any size, then nothing. Returns the bytes of a .model file: no dummy
// prefix, no normalisation, byte fallback. Fault::usage where vocab_size does not fit the text.
std::string train_tokenizer(const std::function<std::optional<std::string>()>& next,
                            const TokenizerTraining& options);

// the same with the text of files; Fault::input for what cannot be read
std::string train_tokenizer(const std::vector<SourceFile>& sources,
                            const TokenizerTraining& options);

}  // namespace tern
