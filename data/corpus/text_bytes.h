// The bytes of text that scored tokens stand for: what bits per byte divides by. For tokenizers
// that keep text (Tokenizer::lossless) these are the bytes of the text itself, else those of the
// text as the tokenizer rewrote it.
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

  // Bytes of targets whose inputs, one position before them each, lie at [first, first +
  // inputs.size()) of the corpus. bos, eos, other control pieces, unknown pieces (what they stood
  // for is lost) and kIgnoreIndex are nothing; the dummy space that begins a text is not text.
  std::uint64_t of(std::uint64_t first, std::span<const std::int32_t> inputs,
                   std::span<const std::int32_t> targets) const;
  // of all targets of a batch that a SequentialPass over the corpus gave
  std::uint64_t of(const Batch& batch) const;

 private:
  Tokenizer tokenizer_;
  std::vector<std::uint64_t> starts_;  // of documents; empty where they do not matter
};

}  // namespace tern
