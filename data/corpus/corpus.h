// One split of a corpus that `tern prepare` made, as one long row of token ids. Every shard is
// looked at first, then opened when it is read; one that has changed by then is an error unless its
// content is the same. Nothing is mapped: a file that becomes shorter is an error and not a crash.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "data/corpus/manifest.h"
#include "data/io/files.h"
#include "data/tokenizer/tokenizer.h"

namespace tern {

// Where the elements of a shard lie in its file.
struct ShardOffsets {
  std::uint64_t tokens = 0, starts = 0;
  bool operator==(const ShardOffsets&) const = default;
};

class Corpus {
 public:
  // Fault::input, naming file and reason: no corpus there, an unfinished one, no such split, shards
  // missing or other than the manifest says.
  // Corpora that are open together share `files`.
  static Corpus open(const std::filesystem::path& directory, Split split,
                     std::shared_ptr<FileCache> files = std::make_shared<FileCache>());
  // Text to measure on: the validation split, or all of a corpus that was prepared without one.
  static Corpus open_held_out(const std::filesystem::path& directory,
                              std::shared_ptr<FileCache> files = std::make_shared<FileCache>());

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
  // position for an id outside the vocabulary, with the file for one that was deleted or changed.
  void read(std::uint64_t first, std::span<std::int32_t> ids) const;
  // positions in [first, end) where documents begin, ascending
  std::vector<std::uint64_t> document_starts(std::uint64_t first, std::uint64_t end) const;
  std::vector<std::uint64_t> document_starts() const { return document_starts(0, token_count_); }
  // How documents begin and end, as the first tokens and the last one say.
  DocumentLayout layout() const;
  // the copy of the tokenizer; Fault::input when it is not the one the corpus was made with
  Tokenizer tokenizer() const;

 private:
  struct Shard {
    CorpusShard facts;
    std::filesystem::path path;
    std::uint64_t first;  // position of its first token
    ShardOffsets offsets;
    mutable FileIdentity identity;  // a file of the same content may replace it; see identities_
  };
  Corpus(std::filesystem::path directory, CorpusManifest manifest, std::shared_ptr<FileCache> files)
      : directory_(std::move(directory)),
        manifest_(std::move(manifest)),
        files_(std::move(files)) {}
  static Corpus with_manifest(const std::filesystem::path& directory,
                              std::shared_ptr<FileCache> files);
  void open_shards(Split split);
  void open_shard(const CorpusShard& facts);
  std::shared_ptr<const File> file_of(const Shard& shard) const;
  void read_shard(const File& file, const Shard& shard, std::uint64_t first,
                  std::span<std::int32_t> ids) const;
  std::uint64_t starts_before(const File& file, const Shard& shard, std::uint64_t position) const;

  std::filesystem::path directory_;
  CorpusManifest manifest_;
  std::string content_hash_;
  Split split_ = Split::train;
  std::shared_ptr<FileCache> files_;
  std::unique_ptr<std::mutex> identities_ =
      std::make_unique<std::mutex>();  // guards those of shards
  std::vector<Shard> shards_;
  std::uint64_t token_count_ = 0, document_count_ = 0, text_bytes_ = 0;
};

// the manifest of the corpus in a directory; Fault::input as Corpus::open
CorpusManifest read_corpus_manifest(const std::filesystem::path& directory);

// Whether it holds a file of a corpus, finished or not.
bool is_corpus(const std::filesystem::path& directory);

// Everything that is wrong with the files of a corpus, a line for each: missing, of other sizes or
// structure than the manifest says; with `hashes` every byte is compared. report: bytes read so
// far, of all. Fault::input when there is no manifest to compare with.
std::vector<std::string> verify_corpus(
    const std::filesystem::path& directory, bool hashes,
    const std::function<void(std::uint64_t done, std::uint64_t total)>& report);

// What a shard's file must be; Fault::input, naming it.
ShardOffsets check_shard_structure(const File& file, const CorpusShard& facts, StoredType type);
// Compares its bytes with the hashes of the manifest. report: bytes that were read, in parts.
void check_shard_content(const File& file, const CorpusShard& facts, StoredType type,
                         const ShardOffsets& offsets,
                         const std::function<void(std::uint64_t)>& report);

}  // namespace tern
