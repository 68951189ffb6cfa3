// Batches of token sources: by global sample index for training, front to back for validation.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <thread>

#include "data/corpus/corpus.h"
#include "data/corpus/sample_order.h"

namespace tern {

// A text as token ids, readable from any position.
struct TokenSource {
  std::string name;   // for messages
  double weight = 1;  // its share of the samples is weight over the sum of the weights
  std::uint64_t token_count = 0;
  // Fills ids with those at [first, first + ids.size()) < token_count, each within the vocabulary:
  // whoever opens the source has checked that, a Corpus when it reads. Called from one thread.
  std::function<void(std::uint64_t first, std::span<std::int32_t> ids)> read;
  std::string content{};  // hash of the tokens: keys the order of its samples
};

// Whole sequences of a Batch, or of anything else like it: token ids on the host, (S, T) each;
// targets may be kIgnoreIndex.
struct BatchView {
  std::span<const std::int32_t> inputs, targets;
};

// S sequences of T tokens; targets are the inputs one position later.
struct Batch {
  std::uint64_t first_sample = 0;       // global index of the first row; in a pass: its number
  std::vector<std::int32_t> inputs{};   // (S, T)
  std::vector<std::int32_t> targets{};  // (S, T)
  std::vector<Sample> samples{};        // (S)

  std::uint64_t next_sample() const { return first_sample + samples.size(); }
  // sequences first .. first + count - 1
  BatchView rows(std::size_t first, std::size_t count) const {
    const std::size_t T = inputs.size() / samples.size();
    return {std::span(inputs).subspan(first * T, count * T),
            std::span(targets).subspan(first * T, count * T)};
  }
  operator BatchView() const { return {inputs, targets}; }
};

struct BatchOptions {
  std::uint64_t context = 0;  // T
  std::uint64_t seed = 0;
  bool shuffled = true;
};

class BatchReader {
 public:
  // Fault::input for a source without a whole sample, Fault::usage as SampleOrder.
  BatchReader(std::vector<TokenSource> sources, const BatchOptions& options);

  // Samples first .. first + count - 1 of the run. Errors of the sources. From one thread.
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
                 std::uint64_t max_samples = ~std::uint64_t(0));

  std::uint64_t samples() const { return samples_; }
  std::optional<Batch> next();  // nullopt after the last

 private:
  TokenSource source_;
  std::uint64_t context_, sequences_, samples_, position_ = 0;
};

// The batches of a training run. A thread reads ahead if the system allows one more. The state is
// one number: position(), the global index of the next sample.
class Loader {
 public:
  // Batches of `sequences` samples, at most `prefetch` of them ready and waiting.
  Loader(BatchReader reader, std::uint64_t sequences, std::size_t prefetch = 4);

  // The batch of samples position() .. position() + sequences - 1. Any position is allowed: a
  // sample does not depend on the batch it is in. Rethrows an error of reading, at every call.
  Batch next();
  std::uint64_t position() const { return position_; }
  void seek(std::uint64_t position);

 private:
  void start();
  void stop();
  void read_ahead(std::stop_token stop, std::uint64_t first);

  BatchReader reader_;
  std::uint64_t sequences_, position_ = 0;
  std::size_t prefetch_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Batch> ready_;
  std::exception_ptr error_;  // after the batches in ready_
  std::jthread thread_;       // last, so it ends first: it uses the members above
};

// Bytes of text that scored tokens stand for: the divisor of bits per byte. With a tokenizer that
// keeps text (Tokenizer::lossless) they are the bytes of the text itself, otherwise those of the
// text that the tokenizer made of it.
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
