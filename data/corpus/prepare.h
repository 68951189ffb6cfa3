// Makes a corpus of texts: reads, encodes in parallel, writes shards. The corpus depends on inputs
// and options alone, not on threads, interruptions or earlier files in the directory.
#pragma once

#include "data/corpus/manifest.h"
#include "data/text/input_files.h"

namespace tern {

struct PrepareOptions {
  std::filesystem::path tokenizer;  // a SentencePiece .model or a tokenizer.json
  std::filesystem::path out;        // a directory; made, or continued after an interruption
  std::vector<std::string> inputs;  // as for list_inputs
  std::optional<InputFormat> format{};
  double validation = 0;      // as for SplitRule
  std::uint64_t max_bad = 0;  // JSON lines that may be skipped
  DocumentRules rules{};
  DocumentLayout layout{};
  std::uint64_t shard_tokens = std::uint64_t(64) << 20;  // a shard ends once it has that many
  int threads = 1;
  Notice notice{};  // receives lines about files that are left out
};

struct PrepareProgress {
  std::uint64_t consumed = 0, total = 0;  // bytes of the input files; total 0: not known
  std::uint64_t tokens = 0, documents = 0,
                text_bytes = 0;  // so far, those before an interruption included
  std::uint64_t skipped_lines = 0;
};

struct PrepareResult {
  CorpusManifest manifest;
  bool was_finished = false;  // there was nothing to do
  bool resumed = false;
  std::vector<std::string> problems;  // the first few lines that were skipped in this call
};

// Fault::usage or input for bad options or inputs, Fault::disk when writing fails. After any
// interruption, kill -9 included, the same call continues behind the last complete shard.
PrepareResult prepare_corpus(const PrepareOptions& options,
                             const std::function<void(const PrepareProgress&)>& report);

}  // namespace tern
