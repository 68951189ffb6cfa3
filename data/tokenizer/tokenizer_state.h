// A loaded tokenizer; for the files that implement tokenizer.h only.
#pragma once

#include <sentencepiece_processor.h>

#include <array>
#include <string>
#include <vector>

#include "data/tokenizer/segments.h"
#include "data/tokenizer/tokenizer.h"

namespace tern {

struct Tokenizer::State {
  std::string model;
  std::string hash;
  std::vector<std::string> spelling;  // the bytes of each id; empty for control pieces
  std::vector<bool> is_control;
  std::array<std::int32_t, 256> byte_ids;  // of the byte pieces; -1 without
  bool lossless = false;
  bool encodes_prefix = false;  // the encoder adds the dummy space (else SentencePiece does)
  bool drops_prefix = false;    // the decoder drops a space where text begins
  bool spells_space = false;    // there is a piece for a space
  Segments segments = Segments::before_spaces();
  sentencepiece::SentencePieceProcessor processor;
  std::int32_t bos = -1, eos = -1, unk = -1;
};

}  // namespace tern
