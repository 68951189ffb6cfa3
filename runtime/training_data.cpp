#include "runtime/training_data.h"

#include "core/check.h"

namespace tern {
namespace {

void require_same_tokenizer(const Corpus& corpus, const std::string& path,
                            const Tokenizer& tokenizer) {
  const Tokenizer own = corpus.tokenizer();
  require(own.hash() == tokenizer.hash(), Fault::input, path,
          ": was prepared with another tokenizer (", own.hash(), ") than the run's (",
          tokenizer.hash(), "): prepare it again with the same one");
}

bool has_split(const Corpus& corpus, Split split) {
  return !corpus.manifest().of(split).empty();
}

}  // namespace

TokenSource token_source(std::shared_ptr<Corpus> corpus, const std::string& name, double weight) {
  const std::uint64_t count = corpus->token_count();
  const std::string content = corpus->content_hash();
  return {
      .name = name,
      .weight = weight,
      .token_count = count,
      .read = [corpus = std::move(corpus)](
                  std::uint64_t first, std::span<std::int32_t> ids) { corpus->read(first, ids); },
      .content = content};
}

TrainingData::TrainingData(const RunConfig& config) : config_(config) {
  std::vector<TokenSource> tokens;
  for (const DataSource& source : config.data.sources) open_source(source, tokens);
  const std::int64_t vocabulary = tokenizer_->vocab_size(), wanted = config_.model.vocab_size;
  require(wanted == 0 || wanted == vocabulary, Fault::usage, "model.vocab_size: expected ",
          vocabulary, ", the size of the data's tokenizer, got ", wanted,
          ": leave it out of the configuration, or set 0");
  loader_ = std::make_unique<Loader>(
      BatchReader(std::move(tokens), {.context = std::uint64_t(config.batch.context),
                                      .seed = std::uint64_t(config.run.seed),
                                      .shuffled = config.data.order == DataOrder::shuffled}),
      std::uint64_t(config.batch.tokens / config.batch.context));
}

void TrainingData::open_source(const DataSource& source, std::vector<TokenSource>& tokens) {
  const auto corpus = std::make_shared<Corpus>(Corpus::open(source.path, Split::train, files_));
  if (!tokenizer_) {
    tokenizer_ = std::make_unique<Tokenizer>(config_.data.tokenizer.empty()
                                                 ? corpus->tokenizer()
                                                 : Tokenizer::load(config_.data.tokenizer));
  }
  require_same_tokenizer(*corpus, source.path, *tokenizer_);
  corpora_.push_back(corpus);
  tokens.push_back(token_source(corpus, source.path, source.weight));

  const std::string path = source.validation.empty() ? source.path : source.validation;
  if (source.validation.empty() && !has_split(*corpus, Split::validation)) return;
  const auto held_out = std::make_shared<Corpus>(Corpus::open_held_out(path, files_));
  require_same_tokenizer(*held_out, path, *tokenizer_);
  validation_.push_back({.name = path,
                         .tokens = token_source(held_out, path, 1),
                         .bytes = std::make_shared<const TextBytes>(*held_out)});
}

DocumentLayout TrainingData::layout() const {
  DocumentLayout any{.bos = false, .eos = false};
  for (const auto& corpus : corpora_) {
    const DocumentLayout one = corpus->layout();
    any = {.bos = any.bos || one.bos, .eos = any.eos || one.eos};
  }
  return any;
}

std::vector<std::string> TrainingData::hashes() const {
  std::vector<std::string> out;
  for (const auto& corpus : corpora_) out.push_back(corpus->content_hash());
  return out;
}

std::vector<std::int64_t> TrainingData::token_counts() const {
  std::vector<std::int64_t> out;
  for (const auto& corpus : corpora_) out.push_back(std::int64_t(corpus->token_count()));
  return out;
}

SequentialPass TrainingData::pass(const ValidationSet& set, std::int64_t sequences) const {
  const auto wanted =
      std::max<std::int64_t>(1, config_.logging.validation_tokens / config_.batch.context);
  return SequentialPass(set.tokens, std::uint64_t(config_.batch.context), std::uint64_t(sequences),
                        std::uint64_t(wanted));
}

}  // namespace tern
