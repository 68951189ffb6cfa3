#include "data/corpus/batches.h"

#include <algorithm>
#include <system_error>

#include "core/check.h"
#include "core/kernels/primitives.h"

namespace tern {
namespace {

std::vector<SampleOrder::Source> sample_counts(const std::vector<TokenSource>& sources,
                                               std::uint64_t T) {
  check(T > 0, "[batches] expected a context of at least one token");
  std::vector<SampleOrder::Source> counts;
  for (const TokenSource& s : sources) {
    require(s.token_count >= T + 1, Fault::input, "data: source ", s.name, ": it has ",
            s.token_count, " tokens, a sample of context ", T, " needs ", T + 1,
            ": shorten the context or prepare more text");
    counts.push_back({s.name, s.weight, (s.token_count - 1) / T, s.content});
  }
  return counts;
}

// Reads tokens of one source into a sequence and its targets; what is beyond its end is ignored.
class SequenceReader {
 public:
  explicit SequenceReader(std::uint64_t T) : ids_(T + 1) {}

  void append(const TokenSource& source, std::uint64_t index, Batch& batch) {
    const std::uint64_t T = ids_.size() - 1, first = index * T;
    const std::size_t count = std::min<std::uint64_t>(T + 1, source.token_count - first);
    const std::span<std::int32_t> ids = std::span(ids_).first(count);
    source.read(first, ids);
    batch.inputs.insert(batch.inputs.end(), ids.begin(), ids.end() - 1);
    batch.inputs.resize(batch.inputs.size() + (T + 1 - count), 0);
    batch.targets.insert(batch.targets.end(), ids.begin() + 1, ids.end());
    batch.targets.resize(batch.targets.size() + (T + 1 - count), kIgnoreIndex);
  }

 private:
  std::vector<std::int32_t> ids_;
};

}  // namespace

BatchReader::BatchReader(std::vector<TokenSource> sources, const BatchOptions& options)
    : sources_(std::move(sources)),
      options_(options),
      order_(sample_counts(sources_, options.context), options.seed, options.shuffled) {}

Batch BatchReader::read(std::uint64_t first, std::uint64_t count) const {
  SequenceReader reader(options_.context);
  Batch batch{.first_sample = first};
  batch.inputs.reserve(count * options_.context);
  batch.targets.reserve(count * options_.context);
  for (std::uint64_t i = 0; i < count; ++i) {
    const Sample sample = order_.at(first + i);
    reader.append(sources_[sample.source], sample.index, batch);
    batch.samples.push_back(sample);
  }
  return batch;
}

SequentialPass::SequentialPass(TokenSource source, std::uint64_t context, std::uint64_t sequences,
                               std::uint64_t max_samples)
    : source_(std::move(source)), context_(context), sequences_(sequences), samples_(0) {
  check(context > 0 && sequences > 0, "[batches] expected a context and sequences, got ", context,
        " and ", sequences);
  require(source_.token_count >= 2, Fault::input, "data: source ", source_.name, ": it has ",
          source_.token_count, " tokens, at least 2 are needed to predict one");
  samples_ = std::min(max_samples, (source_.token_count - 1 + context - 1) / context);
}

std::optional<Batch> SequentialPass::next() {
  if (position_ == samples_) return std::nullopt;
  SequenceReader reader(context_);
  Batch batch{.first_sample = position_};
  for (; position_ < samples_ && batch.samples.size() < sequences_; ++position_) {
    reader.append(source_, position_, batch);
    batch.samples.push_back({0, position_});
  }
  return batch;
}

Loader::Loader(BatchReader reader, std::uint64_t sequences, std::size_t prefetch)
    : reader_(std::move(reader)), sequences_(sequences), prefetch_(prefetch) {
  check(sequences > 0 && prefetch > 0, "[loader] expected sequences and a queue, got ", sequences,
        " and ", prefetch);
  start();
}

void Loader::start() {
  try {
    thread_ = std::jthread(
        [this, first = position_](std::stop_token stop) { read_ahead(std::move(stop), first); });
  } catch (const std::system_error&) {  // the system allows no more threads: next() reads
    thread_ = {};
  }
}

void Loader::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  ready_.clear();
  error_ = nullptr;
}

void Loader::read_ahead(std::stop_token stop, std::uint64_t first) {
  for (;; first += sequences_) {
    Batch batch;
    std::exception_ptr error;
    try {
      batch = reader_.read(first, sequences_);
    } catch (...) {
      error = std::current_exception();
    }
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [&] { return ready_.size() < prefetch_; })) return;
    if (error) error_ = error;
    if (!error) ready_.push_back(std::move(batch));
    changed_.notify_all();
    if (error) return;
  }
}

Batch Loader::next() {
  if (!thread_.joinable()) {
    Batch batch = reader_.read(position_, sequences_);
    position_ += sequences_;
    return batch;
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty() || error_; });
  if (ready_.empty()) std::rethrow_exception(error_);
  Batch batch = std::move(ready_.front());
  ready_.pop_front();
  position_ += sequences_;
  changed_.notify_all();
  return batch;
}

void Loader::seek(std::uint64_t position) {
  stop();
  position_ = position;
  start();
}

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
