// One split of a corpus that `tern prepare` made, as one long row of token ids. Every shard is
// checked when the corpus is opened, and opened again when it is read; a shard that has changed in
// between is an error unless its content is the same. Files are read, not mapped: a file that
// becomes shorter is an error and not a crash. And what writes its shards.
#pragma once

#include "data/corpus/manifest.h"
#include "data/io/files.h"

namespace tern {

// Encoded tokens, and the positions among them at which documents begin.
struct TokenRun {
  std::vector<std::int32_t> ids;
  std::vector<std::uint64_t> starts;
  std::uint64_t text_bytes = 0;
};

// Collects the tokens of one split and writes them as shards.
class ShardBuilder {
 public:
  explicit ShardBuilder(StoredType type) : type_(type) {}

  void append(const TokenRun& run);
  std::uint64_t tokens() const { return tokens_.size() / item_bytes(type_); }

  // Writes the collected tokens to path, through path.tmp, and starts an empty shard. The name is
  // durable after fsync_directory. Fault::disk.
  CorpusShard write(const std::filesystem::path& path, const std::string& tokenizer_hash);

 private:
  StoredType type_;
  std::vector<std::byte> tokens_;  // little-endian, as in the file
  std::vector<std::uint64_t> starts_;
  std::uint64_t text_bytes_ = 0;
};

// Byte offsets of the two datasets of a shard in its file.
struct ShardOffsets {
  std::uint64_t tokens = 0, starts = 0;
  bool operator==(const ShardOffsets&) const = default;
};

class Corpus {
 public:
  // Fault::input, naming file and reason: there is no corpus, it is unfinished, it has no such
  // split, shards are missing or do not match the manifest. Corpora that are open together share
  // `files`.
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
  // Hash of the split's tokens, from the hashes in the manifest. It does not depend on the paths of
  // the corpus and of its inputs.
  const std::string& content_hash() const { return content_hash_; }

  // Fills ids with those at [first, first + ids.size()); any thread. Fault::input with file and
  // position for an id outside the vocabulary, with the file for one that was deleted or changed.
  void read(std::uint64_t first, std::span<std::int32_t> ids) const;
  // Positions in [first, end) at which documents begin, ascending.
  std::vector<std::uint64_t> document_starts(std::uint64_t first, std::uint64_t end) const;
  std::vector<std::uint64_t> document_starts() const { return document_starts(0, token_count_); }
  // Whether documents begin with bos and end with eos, judged by the first tokens and the last one.
  DocumentLayout layout() const;
  // The copy of the tokenizer. Fault::input if the corpus was made with another one.
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

// Whether the directory holds a file of a corpus, finished or not.
bool is_corpus(const std::filesystem::path& directory);

// Compares the files of a corpus with its manifest: existence, sizes, structure; with `hashes`
// every byte. Returns one line for each problem. report: bytes read so far, of all. Fault::input if
// there is no manifest.
std::vector<std::string> verify_corpus(
    const std::filesystem::path& directory, bool hashes,
    const std::function<void(std::uint64_t done, std::uint64_t total)>& report);

// Checks the structure of a shard's file against the manifest. Fault::input, naming the file.
ShardOffsets check_shard_structure(const File& file, const CorpusShard& facts, StoredType type);
// Checks the bytes of a shard's file against the hashes of the manifest. report: bytes read since
// the last call.
void check_shard_content(const File& file, const CorpusShard& facts, StoredType type,
                         const ShardOffsets& offsets,
                         const std::function<void(std::uint64_t)>& report);

}  // namespace tern
