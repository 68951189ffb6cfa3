// Reads the documents of source files in order, in batches of some 256 KiB, in bounded memory.
// Batches depend only on the sources and the start position. Reading can continue after any of
// them, from TextBatch::next.
#pragma once

#include "data/io/byte_stream.h"
#include "data/text/input_files.h"

namespace tern {

enum class Split { train, validation };
constexpr Split kSplits[] = {Split::train, Split::validation};

std::string_view name_of(Split split);

// Chooses the documents, or the part of a text, for validation: a pure function of the inputs, so a
// resumed or repeated preparation makes the same choice.
class SplitRule {
 public:
  // fraction 0 keeps everything for training; Fault::usage outside 0 <= fraction < 1.
  // With JSON lines, or with two files for each document that validation would get, whole documents
  // are drawn: one at a random place of every 1 / fraction. Otherwise every file is divided: its
  // last fraction, from byte floor(size * (1 - fraction)) on (moved back to the beginning of a
  // character or token), becomes a document for validation. Standard input can be divided only by
  // documents (Fault::usage).
  // separated: texts hold documents with separators between them, which are drawn like lines.
  SplitRule(double fraction, const std::vector<InputFile>& sources, bool separated = false);

  bool by_document() const { return by_document_; }
  // of document number n, counted over all sources; by_document() only
  Split of_document(std::uint64_t n) const;
  // Position of the part for validation in a source: bytes after decompression.
  static constexpr std::uint64_t kNoTail = ~std::uint64_t(0);
  std::uint64_t tail_begin(std::size_t source) const;

 private:
  double fraction_;
  bool by_document_ = false;
  std::vector<std::uint64_t> tails_;
};

constexpr std::uint64_t kMaxDocumentBytes = std::uint64_t(1) << 30;
constexpr std::uint64_t kMaxLineBytes = std::uint64_t(64) << 20;

struct TextPosition {
  std::uint64_t source = 0;    // index of the source
  std::uint64_t offset = 0;    // in it, after decompression
  std::uint64_t line = 0;      // lines of it read so far
  std::uint64_t document = 0;  // documents begun in all sources
  bool inside = false;         // a document has begun and not ended
  bool tail = false;           // in the part of the source that is for validation
};

// A document, a part of one, a line of JSON or some tokens, as they are in the file.
struct TextItem {
  std::size_t begin = 0, size = 0;  // in TextBatch::bytes
  Split split = Split::train;
  bool first = true, last = true;  // of its document
  std::uint64_t source = 0;
  std::uint64_t offset = 0;  // in the source, after decompression
  std::uint64_t line = 0;    // 1-based; JSON lines only
};

struct TextBatch {
  std::string bytes;
  std::vector<TextItem> items;
  TextPosition next;           // after this batch
  std::uint64_t consumed = 0;  // bytes of all sources' files so far, for progress

  std::string_view of(const TextItem& item) const {
    return std::string_view(bytes).substr(item.begin, item.size);
  }
};

struct TextOptions {
  std::string separator{};  // as in DocumentRules
  std::uint64_t max_document_bytes = kMaxDocumentBytes;
};

// Fault::input for a text that is one document and too long for one, as far as its size is known.
void require_documents_fit(const std::vector<InputFile>& sources, const DocumentRules& rules);

class DocumentReader {
 public:
  // Length of the beginning of a long text that may be returned before the rest is known.
  using Cut = std::function<std::size_t(std::string_view)>;

  // Texts lose a UTF-8 byte-order mark at their beginning; empty documents and lines are left out.
  DocumentReader(SharedSources sources, SplitRule rule, Cut cut, TextPosition start = {},
                 TextOptions options = {});

  // The next batch; nullopt after the last. Fault::input with file and position: UTF-16, documents
  // over 1 GiB, lines over 64 MiB, half a token, and errors of ByteStream.
  std::optional<TextBatch> next();

 private:
  void open();
  bool fill(std::size_t wanted);  // buffers that many bytes; false: the stream has fewer
  std::string_view unread() const { return std::string_view(buffer_).substr(used_); }
  void take(TextBatch& batch, std::size_t bytes, TextItem item);
  bool take_text(TextBatch& batch);  // both return whether the source continues
  bool take_line(TextBatch& batch);
  std::size_t part_of_text(std::uint64_t limit, std::size_t window, bool& last) const;
  std::size_t part_of_document(std::size_t window, bool& last, bool& separated) const;
  std::string place() const;

  SharedSources sources_;
  SplitRule rule_;
  Cut cut_;
  TextPosition at_;
  TextOptions options_;
  std::uint64_t document_begin_ = 0;  // position in the source of this document, or of the start
  std::optional<ByteStream> stream_;
  std::uint64_t finished_ = 0;  // bytes of the files before this one
  std::string buffer_;          // from used_ on: not returned yet
  std::size_t used_ = 0;
  std::size_t searched_ = 0;  // bytes of unread() without a newline
  bool ended_ = false;        // the stream
};

}  // namespace tern
