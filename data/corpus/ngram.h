// Interpolated Kneser-Ney models of every order up to a highest (Chen and Goodman 1999,
// section 2.7, one discount): the baselines that a trained model has to beat.
#pragma once

#include "data/corpus/corpus.h"

namespace tern {

class NgramModels {
 public:
  // Symbols are 0 to vocabulary - 1. The models of order 1 to highest share their counts.
  NgramModels(std::int64_t vocabulary, int highest, double discount = 0.75);

  // Adds training symbols; what is added later continues the same sequence.
  void add(std::span<const std::int32_t> symbols);

  // Scores symbols that continue the scored sequence: appends to bits[n - 1] the sum of -log2 p of
  // each under the model of order n. At the beginning of the sequence contexts are shorter.
  void score(std::span<const std::int32_t> symbols, std::vector<double>& bits);

 private:
  // An n-gram that was seen; node 0 is the empty one. The fields count the symbols after it.
  struct Node {
    std::uint32_t count = 0;               // times it was seen
    std::uint32_t preceded = 0;            // distinct symbols seen before it
    std::uint32_t followed = 0;            // sum of count over its continuations
    std::uint32_t followers = 0;           // continuations
    std::uint32_t preceded_sum = 0;        // sum of preceded over its continuations
    std::uint32_t preceded_followers = 0;  // continuations with preceded > 0
  };

  std::uint32_t find(std::uint32_t node, std::int32_t symbol) const;  // kNone: not seen
  std::uint32_t find_or_add(std::uint32_t node, std::int32_t symbol, bool& added);
  void grow();

  std::int64_t vocabulary_;
  std::size_t highest_;
  double discount_;
  std::vector<Node> nodes_;
  std::vector<std::uint64_t> keys_;               // open addressing: parent << 32 | symbol
  std::vector<std::uint32_t> children_;           // of the same slot; 0: empty
  std::vector<std::uint32_t> training_, scored_;  // n-grams that end here, by length; last contexts
};

// Scores of n-gram models on a corpus, in bits per byte of its validation text.
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
