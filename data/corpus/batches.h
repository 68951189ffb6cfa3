// Cuts batches out of token sources: by global sample index for training, front to back for
// validation.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "data/corpus/sample_order.h"
#include "data/corpus/tokens.h"

namespace tern {

// S sequences of T tokens; targets are the inputs one position later.
struct Batch {
  std::uint64_t first_sample = 0;       // global index of the first row; in a pass: its number
  std::vector<std::int32_t> inputs{};   // (S, T)
  std::vector<std::int32_t> targets{};  // (S, T)
  std::vector<Sample> samples{};        // (S)
};

struct BatchOptions {
  std::uint64_t context = 0;  // T
  std::int64_t vocabulary = 0;
  std::uint64_t seed = 0;
  bool shuffled = true;
};

class BatchReader {
 public:
  // Fault::input for a source without a whole sample, Fault::usage as SampleOrder.
  BatchReader(std::vector<TokenSource> sources, const BatchOptions& options);

  // Samples first .. first + count - 1 of the run. Fault::input, with source and position, for a
  // token id outside the vocabulary. From one thread.
  Batch read(std::uint64_t first, std::uint64_t count) const;

 private:
  std::vector<TokenSource> sources_;
  BatchOptions options_;
  SampleOrder order_;
};

// Every token of a source once, in file order, in batches of at most `sequences`. The last sequence
// is filled up with token 0 and target kIgnoreIndex.
class SequentialPass {
 public:
  // At most max_samples samples. Fault::input for a source of fewer than 2 tokens.
  SequentialPass(TokenSource source, std::uint64_t context, std::uint64_t sequences,
                 std::int64_t vocabulary, std::uint64_t max_samples = ~std::uint64_t(0));

  std::uint64_t samples() const { return samples_; }
  std::optional<Batch> next();  // nullopt after the last

 private:
  TokenSource source_;
  std::uint64_t context_, sequences_, samples_, position_ = 0;
  std::int64_t vocabulary_;
};

}  // namespace tern
