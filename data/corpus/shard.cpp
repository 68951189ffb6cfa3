#include "data/corpus/shard.h"

#include <bit>
#include <cstring>
#include <system_error>

#include "core/check.h"
#include "data/io/files.h"
#include "data/io/hash.h"
#include "data/io/hdf5.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

template <class Stored>
void append_as(std::span<const std::int32_t> ids, std::vector<std::byte>& bytes) {
  const std::size_t old = bytes.size();
  bytes.resize(old + ids.size() * sizeof(Stored));
  std::byte* to = bytes.data() + old;
  for (const std::int32_t id : ids) {
    const auto stored = Stored(id);
    std::memcpy(to, &stored, sizeof stored);
    to += sizeof stored;
  }
}

}  // namespace

void ShardBuilder::append(const TokenRun& run) {
  const std::uint64_t before = tokens();
  for (const std::uint64_t start : run.starts) starts_.push_back(before + start);
  text_bytes_ += run.text_bytes;
  if (type_ == StoredType::u16)
    append_as<std::uint16_t>(run.ids, tokens_);
  else
    append_as<std::uint32_t>(run.ids, tokens_);
}

CorpusShard ShardBuilder::write(const fs::path& path, const std::string& tokenizer_hash) {
  const auto starts = std::as_bytes(std::span(starts_));
  const CorpusShard shard{path.filename().string(), tokens(),        starts_.size(), text_bytes_,
                          hash_hex(tokens_),        hash_hex(starts)};
  Structure structure{
      .datasets = {{"tokens", type_, {tokens()}},
                   {"document_starts", StoredType::u64, {starts_.size()}}},
      .attributes = {{"tern", "corpus shard 1"}, {"tokenizer_xxh3", tokenizer_hash}}};
  fs::path temporary = path;
  temporary += ".tmp";
  std::error_code ignored;
  fs::remove(temporary, ignored);
  try {
    File file = File::create(temporary);
    write_structure(file, structure);
    file.pwrite_all(structure.datasets[0].offset, tokens_);
    file.pwrite_all(structure.datasets[1].offset, starts);
    file.sync();
    file.close();
    std::error_code error;
    fs::rename(temporary, path, error);
    require(!error, Fault::disk, path.string(), ": cannot be put in place: ", error.message());
  } catch (...) {
    fs::remove(temporary, ignored);
    throw;
  }
  tokens_.clear();
  starts_.clear();
  text_bytes_ = 0;
  return shard;
}

}  // namespace tern
