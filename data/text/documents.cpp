#include "data/text/documents.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "core/rng.h"
#include "data/text/utf8.h"

namespace tern {
namespace {

constexpr std::size_t kBatchBytes = std::size_t(256) << 10;
constexpr std::size_t kReadBytes = std::size_t(256) << 10;

std::size_t token_bytes(InputFormat format) {
  return format == InputFormat::u16 ? 2 : format == InputFormat::u32 ? 4 : 1;
}

}  // namespace

std::string_view name_of(Split split) {
  return split == Split::train ? "train" : "validation";
}

SplitRule::SplitRule(double fraction, const std::vector<InputFile>& sources, bool separated)
    : fraction_(fraction) {
  require(fraction >= 0 && fraction < 1, Fault::usage,
          "--validation: expected a fraction from 0 to less than 1, got ", fraction);
  if (fraction == 0) return;
  by_document_ =
      double(sources.size()) * fraction >= 2 ||
      std::any_of(sources.begin(), sources.end(), [&](const InputFile& s) {
        return s.format == InputFormat::json_lines || (separated && s.format == InputFormat::text);
      });
  if (by_document_) return;
  for (const InputFile& source : sources) {
    require(
        source.path != "-", Fault::usage,
        "--validation cannot divide standard input: its size is not known; give it as a file, or "
        "divide it into documents with --separator");
    const double size = double(decompressed_bytes(source));
    tails_.push_back(std::uint64_t(std::floor(size * (1 - fraction))));
  }
}

Split SplitRule::of_document(std::uint64_t n) const {
  if (!by_document_) return Split::train;
  const Rng places(stream_of("validation"));
  // Stratum k holds the documents from k / fraction to (k + 1) / fraction.
  const auto first = std::uint64_t(double(n) * fraction_);
  for (std::uint64_t k = first > 0 ? first - 1 : 0; k <= first + 1; ++k)
    if (std::uint64_t((double(k) + places.uniform(k)) / fraction_) == n) return Split::validation;
  return Split::train;
}

std::uint64_t SplitRule::tail_begin(std::size_t source) const {
  return tails_.empty() ? kNoTail : tails_[source];
}

void require_documents_fit(const std::vector<InputFile>& sources, const DocumentRules& rules) {
  for (const InputFile& s : sources) {
    const bool one = s.format == InputFormat::text && rules.separator.empty();
    require(!one || s.codec != Codec::none || s.bytes <= kMaxDocumentBytes, Fault::input,
            s.path.string(), ": is one document of ", s.bytes, " B, expected at most ",
            kMaxDocumentBytes,
            ": name the text that separates its documents (--separator TEXT), or use JSON lines");
  }
}

DocumentReader::DocumentReader(SharedSources sources, SplitRule rule, Cut cut, TextPosition start,
                               TextOptions options)
    : sources_(std::move(sources)),
      rule_(std::move(rule)),
      cut_(std::move(cut)),
      at_(start),
      options_(std::move(options)),
      document_begin_(start.offset) {
  check(start.source <= sources_->size(), "[text source] expected a position in ", sources_->size(),
        " sources, got ", start.source);
  for (std::size_t i = 0; i < start.source; ++i) finished_ += (*sources_)[i].bytes;
}

std::string DocumentReader::place() const {
  return (*sources_)[at_.source].path.string();
}

void DocumentReader::open() {
  const InputFile& source = (*sources_)[at_.source];
  stream_.emplace(source.path, source.codec, source.bytes);
  stream_->skip(at_.offset);
  buffer_.clear();
  used_ = searched_ = 0;
  ended_ = false;
}

bool DocumentReader::fill(std::size_t wanted) {
  while (buffer_.size() - used_ < wanted && !ended_) {
    buffer_.erase(0, std::exchange(used_, 0));
    const std::size_t old = buffer_.size();
    buffer_.resize(old + kReadBytes);
    const std::size_t n = stream_->read(std::as_writable_bytes(std::span(buffer_).subspan(old)));
    buffer_.resize(old + n);
    ended_ = n < kReadBytes;
  }
  return buffer_.size() - used_ >= wanted;
}

void DocumentReader::take(TextBatch& batch, std::size_t bytes, TextItem item) {
  item.begin = batch.bytes.size();
  item.size = bytes;
  item.source = at_.source;
  item.offset = at_.offset;
  batch.bytes += unread().substr(0, bytes);
  batch.items.push_back(item);
  used_ += bytes;
  at_.offset += bytes;
}

// Bytes to take of a text of which at most limit bytes belong to this document. Looks at the first
// `window` bytes only: the ends of parts must not depend on the amount of buffered text.
std::size_t DocumentReader::part_of_text(std::uint64_t limit, std::size_t window,
                                         bool& last) const {
  const std::size_t unit = token_bytes((*sources_)[at_.source].format);
  const std::string_view text = unread().substr(0, window);
  const bool all = ended_ && text.size() == unread().size();
  last = limit <= text.size() || all;
  if (limit <= text.size()) {  // up to the division, less what is cut in two by it
    const std::string_view head = text.substr(0, std::size_t(limit));
    return head.size() - (unit == 1 ? incomplete_suffix(head) : head.size() % unit);
  }
  require(!all || text.size() % unit == 0, Fault::input, place(), ": expected whole ",
          name_of((*sources_)[at_.source].format), " tokens, got ", text.size() % unit,
          " B too many at byte ", at_.offset + text.size() / unit * unit);
  if (all) return text.size();
  return unit == 1 ? cut_(text) : text.size() / unit * unit;
}

// The same for a text with separators: up to the next one. A possible beginning of a separator is
// not taken.
std::size_t DocumentReader::part_of_document(std::size_t window, bool& last,
                                             bool& separated) const {
  const std::string_view text = unread().substr(0, window);
  const std::size_t end = text.find(options_.separator);
  separated = end != text.npos;
  const bool all = ended_ && text.size() == unread().size();
  last = separated || all;
  if (separated) return end;
  if (all) return text.size();
  return cut_(text.substr(0, text.size() - (options_.separator.size() - 1)));
}

bool DocumentReader::take_text(TextBatch& batch) {
  const bool is_text = token_bytes((*sources_)[at_.source].format) == 1;
  fill(kReadBytes + 1);  // one more tells whether the text ends here
  if (is_text && at_.offset == 0) {
    const std::string_view text = unread();
    require(!text.starts_with("\xff\xfe") && !text.starts_with("\xfe\xff"), Fault::input, place(),
            ": is UTF-16: convert it, for example with iconv -f UTF-16 -t UTF-8");
    if (text.starts_with("\ufeff")) used_ += 3, at_.offset += 3;
  }
  const std::uint64_t tail = rule_.tail_begin(std::size_t(at_.source));
  const bool in_head = !at_.tail && tail != SplitRule::kNoTail;
  const std::uint64_t limit = in_head ? tail - std::min(tail, at_.offset) : SplitRule::kNoTail;
  const bool divided = is_text && !options_.separator.empty();
  bool last = false, separated = false;
  std::size_t window = kReadBytes;
  const auto part = [&] {
    return divided ? part_of_document(window, last, separated) : part_of_text(limit, window, last);
  };
  std::size_t n = part();
  while (n == 0 && !last) {
    fill((window += kReadBytes) + 1);
    n = part();
  }
  if (divided && !at_.inside) document_begin_ = at_.offset;
  require(
      !is_text || at_.offset + n - (divided ? document_begin_ : 0) <= options_.max_document_bytes,
      Fault::input, place(), ": the document at byte ", divided ? document_begin_ : 0,
      " is longer than one document may be (", options_.max_document_bytes, " B): ",
      divided ? "does --separator stand between the documents of this file?"
              : "name the text that separates its documents (--separator TEXT), or use JSON lines");
  if (n > 0 || at_.inside) {
    const Split split =
        at_.tail ? Split::validation : rule_.of_document(at_.document - (at_.inside ? 1 : 0));
    if (!at_.inside) ++at_.document;
    take(batch, n, {.split = split, .first = !at_.inside, .last = last});
    at_.inside = !last;
  }
  if (separated) used_ += options_.separator.size(), at_.offset += options_.separator.size();
  if (last && in_head) at_.tail = true;
  return !last || in_head || separated;
}

bool DocumentReader::take_line(TextBatch& batch) {
  std::size_t newline = unread().find('\n', searched_);
  while (newline == std::string_view::npos && !ended_) {
    searched_ = unread().size();
    require(searched_ <= kMaxLineBytes, Fault::input, place(), ':', at_.line + 1,
            ": a line is longer than ", kMaxLineBytes, " B");
    fill(searched_ + 1);
    newline = unread().find('\n', searched_);
  }
  searched_ = 0;
  std::string_view line = unread().substr(0, newline);
  require(line.size() <= kMaxLineBytes, Fault::input, place(), ':', at_.line + 1,
          ": a line is longer than ", kMaxLineBytes, " B");
  ++at_.line;
  const std::size_t skipped = at_.line == 1 && line.starts_with("\ufeff") ? 3 : 0;
  used_ += skipped, at_.offset += skipped;
  line.remove_prefix(skipped);
  const std::size_t size = line.size();
  if (line.find_first_not_of(" \t\r") != line.npos)
    take(batch, size, {.split = rule_.of_document(at_.document++), .line = at_.line});
  else
    used_ += size, at_.offset += size;
  if (newline == std::string_view::npos) return false;
  used_ += 1, at_.offset += 1;
  return true;
}

std::optional<TextBatch> DocumentReader::next() {
  TextBatch batch;
  while (at_.source < sources_->size() && batch.bytes.size() < kBatchBytes) {
    if (!stream_) open();
    const bool lines = (*sources_)[at_.source].format == InputFormat::json_lines;
    const bool more = lines ? take_line(batch) : take_text(batch);
    batch.consumed = finished_ + stream_->consumed();
    if (more) continue;
    finished_ += (*sources_)[at_.source].bytes;
    at_ = {.source = at_.source + 1, .document = at_.document};
    stream_.reset();
  }
  batch.next = at_;
  if (batch.items.empty()) return std::nullopt;
  return batch;
}

}  // namespace tern
