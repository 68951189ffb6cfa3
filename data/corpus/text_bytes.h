// Bytes of text that scored tokens stand for: the divisor of bits per byte. With a tokenizer that
// keeps text (Tokenizer::lossless) they are the bytes of the text itself, otherwise those of the
// text that the tokenizer made of it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/corpus/batches.h"
#include "data/corpus/corpus.h"

namespace tern {

class TextBytes {
 public:
  // for the tokens of this corpus
  explicit TextBytes(const Corpus& corpus);

  // Bytes of the targets whose inputs lie at [first, first + inputs.size()) of the corpus; a
  // target is one position after its input. Counted as 0: control pieces like bos and eos, unknown
  // pieces (their text is lost), kIgnoreIndex, and the dummy space at the beginning of a text.
  std::uint64_t of(std::uint64_t first, std::span<const std::int32_t> inputs,
                   std::span<const std::int32_t> targets) const;
  // of all targets of a batch that a SequentialPass over the corpus gave
  std::uint64_t of(const Batch& batch) const;

 private:
  Tokenizer tokenizer_;
  std::vector<std::uint64_t>
      starts_;  // of documents; empty unless the tokenizer drops a dummy space
};

}  // namespace tern
