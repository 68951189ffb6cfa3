// Collects the tokens of one split and writes them as shards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "data/corpus/manifest.h"

namespace tern {

// Encoded tokens, and the positions among them at which documents begin.
struct TokenRun {
  std::vector<std::int32_t> ids;
  std::vector<std::uint64_t> starts;
  std::uint64_t text_bytes = 0;
};

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

}  // namespace tern
