// Tokenizers and texts for the tests of data/: a small trained model, model files made by hand, and
// random texts full of what breaks tokenizers.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace tern {

// 400 pieces trained on a page of English, made once per test program
const Tokenizer& small_tokenizer();

// what a model file consists of, to be broken one part at a time
struct ModelFile {
  struct Piece {
    std::string text;
    float score = 0;
    int kind =
        1;  // as in the protocol buffer: 1 normal, 2 unknown, 3 control, 4 user, 5 unused, 6 byte
  };
  std::vector<Piece> pieces;
  bool byte_fallback = true, dummy_prefix = false, remove_extra_spaces = false;
  int type = 2;       // 1 unigram, 2 byte pairs
  std::string rules;  // compiled normalisation
  std::int64_t bos_id = 1;
  std::string bytes() const;  // the file
};

// unk, bos, eos, 256 bytes and these pieces, the first with the best score
ModelFile model_file(const std::vector<std::string>& pieces);

// what SentencePiece trains by default on the same page: it rewrites text (nmt_nfkc)
std::string default_sentencepiece_model();

std::string english();  // some kilobytes of sentences

// random bytes, characters and words: spaces in runs, newlines, tabs, U+2581, NUL, controls, BOM,
// CRLF, emoji, CJK; with `broken` also bytes that are not UTF-8
std::string random_text(std::mt19937_64& random, std::size_t parts, bool broken);

}  // namespace tern
