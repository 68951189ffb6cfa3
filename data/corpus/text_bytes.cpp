#include "data/corpus/text_bytes.h"

#include <algorithm>

#include "core/check.h"
#include "core/kernels/loss.h"

namespace tern {

TextBytes::TextBytes(const Corpus& corpus) : tokenizer_(corpus.tokenizer()) {
  if (tokenizer_.drops_prefix()) starts_ = corpus.document_starts();
}

std::uint64_t TextBytes::of(std::uint64_t first, std::span<const std::int32_t> inputs,
                            std::span<const std::int32_t> targets) const {
  check(inputs.size() == targets.size(), "[text bytes] expected as many targets as inputs, got ",
        targets.size(), " and ", inputs.size());
  auto start = std::upper_bound(starts_.begin(), starts_.end(), first);
  std::uint64_t bytes = 0;
  bool begins = false;  // a text begins with the next token
  for (std::size_t i = 0; i < targets.size(); ++i) {
    begins = tokenizer_.text_begins_after(inputs[i], begins);
    for (; start != starts_.end() && *start == first + i + 1; ++start) begins = true;
    const std::int32_t id = targets[i];
    if (id != kIgnoreIndex && id != tokenizer_.unk_id())
      bytes += tokenizer_.spelling(id, begins).size();
  }
  return bytes;
}

std::uint64_t TextBytes::of(const Batch& batch) const {
  if (batch.samples.empty()) return 0;
  const std::size_t T = batch.inputs.size() / batch.samples.size();
  std::uint64_t bytes = 0;
  for (std::size_t row = 0; row < batch.samples.size(); ++row)
    bytes += of(batch.samples[row].index * T, std::span(batch.inputs).subspan(row * T, T),
                std::span(batch.targets).subspan(row * T, T));
  return bytes;
}

}  // namespace tern
