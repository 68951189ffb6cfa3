// The data of a run: prepared corpora as one stream of batches, their validation parts, and the
// tokenizer they share. Everything is opened and checked before the first step.
#pragma once

#include "data/corpus/batches.h"
#include "data/corpus/corpus.h"
#include "runtime/run_config.h"

namespace tern {

struct ValidationSet {
  std::string name;
  TokenSource tokens;
  std::shared_ptr<const TextBytes> bytes;
};

class TrainingData {
 public:
  // model.vocab_size may be 0. Fault::input, Fault::usage: a corpus or tokenizer that is missing,
  // damaged, or does not fit the model's vocabulary or the others' tokenizer.
  explicit TrainingData(const RunConfig& config);

  Batch next() { return loader_->next(); }  // batch.tokens of them
  void seek(std::int64_t position) { loader_->seek(std::uint64_t(position)); }

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  // bos, eos: whether documents of any source have them
  DocumentLayout layout() const;
  std::vector<std::string> hashes() const;         // of each source's training part
  std::vector<std::int64_t> token_counts() const;  // of each source's training part
  const std::vector<ValidationSet>& validation() const { return validation_; }
  // one pass over the first logging.validation_tokens of a set
  SequentialPass pass(const ValidationSet& set, std::int64_t sequences) const;

 private:
  void open_source(const DataSource& source, std::vector<TokenSource>& tokens);

  std::shared_ptr<FileCache> files_ = std::make_shared<FileCache>();  // of all corpora
  const RunConfig config_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<std::shared_ptr<Corpus>> corpora_;  // training parts, in the config's order
  std::vector<ValidationSet> validation_;
  std::unique_ptr<Loader> loader_;
};

// what the tokens of a corpus look like to loaders; keeps the corpus open
TokenSource token_source(std::shared_ptr<Corpus> corpus, const std::string& name, double weight);

}  // namespace tern
