// manifest.json of a corpus, the directory that `tern prepare` makes: its shards, inputs and
// options. The manifest is written last, so a directory with one is complete. Format:
// docs/data_format.md.
#pragma once

#include <array>

#include "data/io/json.h"
#include "data/io/stored_type.h"
#include "data/text/documents.h"
#include "data/tokenizer/tokenizer.h"

namespace tern {

// A shard: datasets `tokens` (u16 or u32) and `document_starts` (u64: positions in this shard). A
// document may go on in the next shard.
struct CorpusShard {
  std::string file;  // a plain name
  std::uint64_t tokens = 0;
  std::uint64_t documents = 0;           // that begin in it
  std::uint64_t text_bytes = 0;          // the text that its tokens stand for
  std::string tokens_hash, starts_hash;  // XXH3-128 of the datasets' bytes

  bool operator==(const CorpusShard&) const = default;
};

nlohmann::json to_json(const CorpusShard& shard);
CorpusShard shard_from_json(const nlohmann::json& value, const std::string& where);

// Tokens around each document.
struct DocumentLayout {
  bool bos = true, eos = true;
};

struct CorpusManifest {
  std::string tokenizer_file = std::string(kModelFileName);  // a copy, beside the manifest
  std::string tokenizer_hash;                                // see Tokenizer::is
  std::int32_t vocab_size = 0;
  StoredType token_type = StoredType::u16;
  nlohmann::json arguments;                        // sources and options, which decide the content
  std::uint64_t skipped_lines = 0;                 // of JSON lines that could not be used
  std::array<std::vector<CorpusShard>, 2> splits;  // by Split, in order

  const std::vector<CorpusShard>& of(Split split) const { return splits[std::size_t(split)]; }
};

constexpr std::uint64_t kCorpusFormat = 1;
// Limits of readers, and therefore of writers: 1.4 PB of text in shards of the usual size, a
// manifest of some 35 MB. Manifests of earlier releases also list every input file.
constexpr std::size_t kMaxCorpusShards = 100'000;  // of both splits
constexpr std::uint64_t kMaxCorpusArgumentBytes = 1 << 20;
constexpr std::uint64_t kMaxCorpusManifestBytes = 256 << 20;
constexpr std::string_view kCorpusManifestName = "manifest.json";
constexpr std::string_view kPrepareJournalName = "prepare.journal";  // while it is unfinished

// Fault::usage, with the option that changes it, for more shards than readers accept.
void require_shard_count(std::size_t shards);
// Fault::usage for arguments that are longer than readers accept.
void require_argument_size(const nlohmann::json& arguments);

// u16 as long as every id fits
StoredType token_type_for(std::int64_t vocab_size);

// Fault::usage for more than readers accept.
std::string to_text(const CorpusManifest& manifest);
// Checks everything that can be checked without the shards. Fault::input, naming where. A list of
// input files, as earlier releases wrote, becomes its summary.
CorpusManifest parse_corpus_manifest(std::string_view text, const std::string& where);

}  // namespace tern
