// What n-gram models reach on a corpus, in bits per byte of its validation text.
#pragma once

#include <cstdint>
#include <vector>

#include "data/corpus/corpus.h"

namespace tern {

struct NgramBaselines {
  std::uint64_t training_tokens = 0, training_bytes = 0;  // used; fewer than there are, if limited
  std::uint64_t scored_tokens = 0, scored_bytes = 0;
  std::vector<double> token_models, byte_models;  // bit/byte by order, from 1
};

// Trains on the first max_tokens of train and on the text that they spell. The models over tokens
// are scored like a language model: on every token but the first, bos and eos included.
NgramBaselines ngram_baselines(const Corpus& train, const Corpus& validation, int highest,
                               std::uint64_t max_tokens);

}  // namespace tern
