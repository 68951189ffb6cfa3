// One split of a corpus that `tern prepare` made, as one long row of token ids. Shards are opened
// once, their sizes fixed then, and read by position; nothing is mapped, so that a file that
// becomes shorter is an error and not a crash.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/corpus_manifest.h"
#include "data/files.h"
#include "data/tokenizer.h"

namespace tern {

class Corpus {
 public:
  // Fault::input, naming file and reason: no corpus there, an unfinished one, no such split, shards
  // missing or other than the manifest says.
  static Corpus open(const std::filesystem::path& directory, Split split);
  // Text to measure on: the validation split, or all of a corpus that was prepared without one.
  static Corpus open_held_out(const std::filesystem::path& directory);

  std::uint64_t token_count() const { return token_count_; }
  std::uint64_t document_count() const { return document_count_; }
  std::uint64_t text_bytes() const { return text_bytes_; }  // for bits per byte
  std::int32_t vocab_size() const { return manifest_.vocab_size; }
  Split split() const { return split_; }
  const CorpusManifest& manifest() const { return manifest_; }
  // of the split's tokens, by the hashes in the manifest: the same wherever the corpus lies and
  // whatever its inputs were called
  const std::string& content_hash() const { return content_hash_; }

  // Fills ids with those at [first, first + ids.size()); any thread. Fault::input with file and
  // position for an id outside the vocabulary.
  void read(std::uint64_t first, std::span<std::int32_t> ids) const;
  // positions where documents begin, ascending
  std::vector<std::uint64_t> document_starts() const;
  // Compares every byte with the hashes of the manifest; Fault::input names the shard.
  void verify() const;
  // the copy of the tokenizer; Fault::input when it is not the one the corpus was made with
  Tokenizer tokenizer() const;

 private:
  struct Shard {
    CorpusShard facts;
    File file;
    std::uint64_t first;                         // position of its first token
    std::uint64_t tokens_offset, starts_offset;  // in the file
  };
  Corpus(std::filesystem::path directory, CorpusManifest manifest)
      : directory_(std::move(directory)), manifest_(std::move(manifest)) {}
  static Corpus with_manifest(const std::filesystem::path& directory);
  void open_shards(Split split);
  void open_shard(const CorpusShard& facts);
  void read_shard(const Shard& shard, std::uint64_t first, std::span<std::int32_t> ids) const;

  std::filesystem::path directory_;
  CorpusManifest manifest_;
  std::string content_hash_;
  Split split_ = Split::train;
  std::vector<Shard> shards_;
  std::uint64_t token_count_ = 0, document_count_ = 0, text_bytes_ = 0;
};

}  // namespace tern
