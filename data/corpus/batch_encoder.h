// Turns a batch of documents into tokens: bos, the document's tokens, eos.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "data/corpus/manifest.h"
#include "data/corpus/shard.h"
#include "data/text/text_source.h"
#include "data/tokenizer/tokenizer.h"

namespace tern {

struct EncodedBatch {
  std::array<TokenRun, 2> runs;       // by Split
  std::vector<std::string> problems;  // of lines that cannot be used: "file:line: reason"
  TextPosition next;                  // as in TextBatch
  std::uint64_t consumed = 0;
};

class BatchEncoder {
 public:
  BatchEncoder(Tokenizer tokenizer, SharedSources sources, DocumentLayout layout,
               std::string json_field = "text")
      : tokenizer_(tokenizer),
        encoder_(tokenizer),
        sources_(std::move(sources)),
        layout_(layout),
        json_field_(std::move(json_field)) {}

  // Token files keep their ids as they are, without bos and eos of ours; Fault::input with the byte
  // offset of an id outside the vocabulary.
  EncodedBatch encode(const TextBatch& batch);

 private:
  void append_text(std::string_view text, const TextItem& item, TokenRun& run);
  void append_tokens(std::string_view bytes, const TextItem& item, TokenRun& run);

  Tokenizer tokenizer_;
  Encoder encoder_;
  SharedSources sources_;
  DocumentLayout layout_;
  std::string json_field_;
};

}  // namespace tern
