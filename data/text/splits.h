// Which documents, or which part of a text, are kept for validation: a pure function of the inputs,
// so that a resumed or repeated preparation decides the same.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "data/text/sources.h"

namespace tern {

enum class Split { train, validation };
constexpr Split kSplits[] = {Split::train, Split::validation};

std::string_view name_of(Split split);

class SplitRule {
 public:
  // fraction 0 keeps everything for training; Fault::usage outside 0 <= fraction < 1.
  // With JSON lines, or with two files for each document that validation would get, whole documents
  // are drawn: one at a random place of every 1 / fraction. Otherwise every file is divided: its
  // last fraction, from byte floor(size * (1 - fraction)) on (moved back to the beginning of a
  // character or token), becomes a document for validation. Standard input can be divided only by
  // documents (Fault::usage).
  // separated: texts hold documents with separators between them, which are drawn like lines.
  SplitRule(double fraction, const std::vector<SourceFile>& sources, bool separated = false);

  bool by_document() const { return by_document_; }
  // of document number n, counted over all sources; by_document() only
  Split of_document(std::uint64_t n) const;
  // where the part for validation begins in a source: bytes after decompression
  static constexpr std::uint64_t kNoTail = ~std::uint64_t(0);
  std::uint64_t tail_begin(std::size_t source) const;

 private:
  double fraction_;
  bool by_document_ = false;
  std::vector<std::uint64_t> tails_;
};

}  // namespace tern
