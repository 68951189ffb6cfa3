#include <sentencepiece_trainer.h>

#include <algorithm>
#include <iomanip>
#include <system_error>

#include "core/check.h"
#include "core/rng.h"
#include "data/io/json.h"
#include "data/text/documents.h"
#include "data/text/utf8.h"
#include "data/tokenizer/tokenizer.h"

namespace tern {
namespace {

constexpr std::size_t kMaxSentenceBytes = 4096;
constexpr double kUsualCoverage = 0.9995;       // SentencePiece's own
constexpr std::int32_t kOtherPieces = 3 + 256;  // unk, bos, eos and bytes

// An evenly spread random sample of sentences within a number of bytes: each sentence draws a
// number; those below a threshold stay, and the threshold is halved whenever they are too many.
class Sample {
 public:
  explicit Sample(std::uint64_t max_bytes) : max_bytes_(max_bytes) {}

  void add(std::string_view text) {
    const std::uint64_t draw = draws_.bits(count_++);
    if (text.empty() || draw > threshold_) return;
    sentences_.push_back({draw, std::string(text)});
    bytes_ += text.size();
    while (bytes_ > max_bytes_ && sentences_.size() > 1) shrink();
  }

  std::vector<std::string> take() {
    std::vector<std::string> texts;
    for (Sentence& s : sentences_) texts.push_back(std::move(s.text));
    return texts;
  }

 private:
  struct Sentence {
    std::uint64_t draw;
    std::string text;
  };

  void shrink() {
    threshold_ /= 2;
    std::erase_if(sentences_, [&](const Sentence& s) { return s.draw > threshold_; });
    bytes_ = 0;
    for (const Sentence& s : sentences_) bytes_ += s.text.size();
  }

  Rng draws_{stream_of("tokenizer sample")};
  std::uint64_t max_bytes_, threshold_ = ~std::uint64_t(0), count_ = 0, bytes_ = 0;
  std::vector<Sentence> sentences_;
};

// The end of the first sentence: a line with all the newlines after it, or what fits, preferably up
// to a space. 0 when the text may go on. Merges across such an end are not learned.
std::size_t sentence_end(std::string_view text) {
  const std::string_view window = text.substr(0, kMaxSentenceBytes);
  if (const std::size_t newline = window.find('\n'); newline != window.npos) {
    const std::size_t next = window.find_first_not_of('\n', newline);
    if (next != window.npos) return next;
  }
  if (text.size() <= kMaxSentenceBytes) return 0;
  const std::size_t space = window.rfind(' ');
  if (space != window.npos && space > 0) return space;
  return window.size() - incomplete_suffix(window);
}

std::vector<std::string> sentences_of(const std::function<std::optional<std::string>()>& next,
                                      std::uint64_t max_bytes) {
  Sample sample(max_bytes);
  std::string text;
  while (const std::optional<std::string> part = next()) {
    text += *part;
    std::size_t begin = 0;
    while (const std::size_t n = sentence_end(std::string_view(text).substr(begin))) {
      sample.add(std::string_view(text).substr(begin, n));
      begin += n;
    }
    text.erase(0, begin);
  }
  sample.add(text);
  return sample.take();
}

class Sentences : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(const std::vector<std::string>& texts) : texts_(texts) {}
  bool done() const override { return at_ == texts_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return texts_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& texts_;
  std::size_t at_ = 0;
};

// The joined texts of a batch; counts the lines without one.
std::string texts_of(const TextBatch& batch, const std::vector<InputFile>& sources,
                     const TokenizerTraining& options, std::uint64_t& bad) {
  const std::uint64_t max_bad = options.max_bad;
  std::string texts;
  for (const TextItem& item : batch.items) {
    const InputFile& source = sources[std::size_t(item.source)];
    if (source.format == InputFormat::text) {
      texts += batch.of(item);
      if (item.last && !options.rules.separator.empty()) texts += '\n';
      continue;
    }
    const JsonLine line = read_json_line(batch.of(item), options.rules.json_field);
    bad += !line.problem.empty();
    require(bad <= max_bad, Fault::input, source.path.string(), ':', item.line, ": ", line.problem,
            " (bad line ", bad, ", --max-bad ", max_bad, " allows ", max_bad, ")");
    texts += line.text + '\n';
  }
  return texts;
}

// The characters of a text, the most frequent first.
class Characters {
 public:
  explicit Characters(const std::vector<std::string>& texts) {
    std::unordered_map<char32_t, std::uint64_t> counts;
    for (std::string_view rest : texts)
      while (!rest.empty()) {
        const Character next = first_character(rest);
        ++counts[next.code];
        rest.remove_prefix(next.bytes);
      }
    for (const auto& [code, count] : counts) counts_.push_back({count, code}), all_ += count;
    std::sort(counts_.begin(), counts_.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
  }
  std::size_t size() const { return counts_.size(); }
  // the number of characters that reach this share of the text
  std::size_t needed(double coverage) const {
    std::size_t n = 0;
    for (std::uint64_t sum = 0; n < size() && double(sum) < coverage * double(all_); ++n)
      sum += counts_[n].first;
    return n;
  }
  double share(std::size_t n) const {  // of the first n
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += counts_[i].first;
    return double(sum) / double(all_);
  }
  std::unordered_set<char32_t> first(std::size_t n) const {
    std::unordered_set<char32_t> out;
    for (std::size_t i = 0; i < n; ++i) out.insert(counts_[i].second);
    return out;
  }

 private:
  std::vector<std::pair<std::uint64_t, char32_t>> counts_;
  std::uint64_t all_ = 0;
};

// The parts of texts between characters that are not kept.
std::vector<std::string> parts_of(const std::vector<std::string>& texts,
                                  const std::unordered_set<char32_t>& kept) {
  std::vector<std::string> parts;
  for (std::string_view rest : texts) {
    parts.emplace_back();
    while (!rest.empty()) {
      const Character next = first_character(rest);
      if (kept.contains(next.code) && next.code != kInvalidCharacter)
        parts.back() += rest.substr(0, next.bytes);
      else if (!parts.back().empty())
        parts.emplace_back();
      rest.remove_prefix(next.bytes);
    }
    if (parts.back().empty()) parts.pop_back();
  }
  return parts;
}

// Removes the characters from the text that get no piece: those beyond the requested coverage, or,
// if none is requested and the usual coverage does not fit, beyond half of the pieces.
// SentencePiece itself accepts no coverage below 0.98. Returns whether anything was removed.
bool cover(std::vector<std::string>& texts, const TokenizerTraining& options) {
  const Characters characters(texts);
  const auto room = std::size_t(std::max(0, options.vocab_size - kOtherPieces));
  std::size_t kept = characters.needed(options.character_coverage);
  if (options.character_coverage == 0) {
    if (room < 2 || characters.needed(kUsualCoverage) <= room) return false;
    kept = room / 2;
    std::ostringstream text;
    text << "a vocabulary of " << options.vocab_size << " has no room for the " << characters.size()
         << " characters of this text: the " << kept << " most frequent get a piece ("
         << std::setprecision(4) << 100 * characters.share(kept)
         << " % of the text), the others are encoded as bytes; see --character-coverage";
    if (options.notice) options.notice(text.str());
  }
  texts = parts_of(texts, characters.first(kept));
  return true;
}

}  // namespace

std::string train_tokenizer(const std::function<std::optional<std::string>()>& next,
                            const TokenizerTraining& options) {
  std::vector<std::string> texts = sentences_of(next, options.max_bytes);
  require(!texts.empty(), Fault::input, "tokenizer: the inputs hold no text to learn from");
  const bool covered = cover(texts, options);
  std::unordered_map<std::string, std::string> arguments = {
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(options.vocab_size)},
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"add_dummy_prefix", "false"},
      {"byte_fallback", "true"},
      {"allow_whitespace_only_pieces", "true"},
      {"split_digits", "true"},
      {"max_sentence_length", std::to_string(4 * kMaxSentenceBytes)},
      {"num_threads", "1"},
      {"minloglevel", "3"},
  };
  if (covered) arguments.insert_or_assign("character_coverage", std::string("1"));
  Sentences sentences(texts);
  std::string model;
  const auto status = [&] {
    try {
      return sentencepiece::SentencePieceTrainer::Train(arguments, &sentences, &model);
    } catch (const std::system_error& e) {  // it needs one thread beside this
      fail(Fault::memory, "tokenizer: the system allows no more threads (", e.what(),
           "): raise ulimit -u, or the limit of the container");
    }
  }();
  if (!status.ok()) {
    std::string_view message = status.message();
    if (const auto reason = message.find("] "); reason != message.npos)  // after the place in code
      message.remove_prefix(reason + 2);
    message = message.substr(0, message.find(" Increase vocab_size"));  // names options of its own
    fail(Fault::usage, "tokenizer: a vocabulary of ", options.vocab_size,
         " does not fit this text: ", message,
         options.character_coverage > 0 ? " (or lower --character-coverage)" : "");
  }
  return model;
}

std::string train_tokenizer(const std::vector<InputFile>& sources,
                            const TokenizerTraining& options) {
  for (const InputFile& s : sources)
    require(s.format == InputFormat::text || s.format == InputFormat::json_lines, Fault::usage,
            s.path.string(), ": holds tokens: a tokenizer is trained on text");
  const auto cut = [](std::string_view text) { return text.size() - incomplete_suffix(text); };
  DocumentReader reader(
      std::make_shared<const std::vector<InputFile>>(sources), SplitRule(0, sources), cut, {},
      {.separator = options.rules.separator, .max_document_bytes = SplitRule::kNoTail});
  std::uint64_t bad = 0;
  const auto next = [&]() -> std::optional<std::string> {
    const std::optional<TextBatch> batch = reader.next();
    if (!batch) return std::nullopt;
    return texts_of(*batch, sources, options, bad);
  };
  return train_tokenizer(next, options);
}

}  // namespace tern
