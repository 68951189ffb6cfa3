#include <algorithm>

#include "core/check.h"
#include "data/corpus/corpus.h"
#include "data/io/hash.h"
#include "data/io/hdf5.h"
#include "data/text/source_list.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

using Report = std::function<void(std::uint64_t)>;

const Dataset& dataset(const Structure& structure, std::string_view name, StoredType type,
                       std::uint64_t items, const fs::path& path) {
  const auto found = std::find_if(structure.datasets.begin(), structure.datasets.end(),
                                  [&](const Dataset& d) { return d.name == name; });
  require(found != structure.datasets.end(), Fault::input, path.string(), ": has no dataset ",
          name);
  require(found->type == type && found->shape == std::vector{items}, Fault::input, path.string(),
          ": dataset ", name, ": expected ", items, " ", name_of(type), ", got ", found->items(),
          " ", name_of(found->type));
  return *found;
}

std::string hash_range(const File& file, std::uint64_t offset, std::uint64_t bytes,
                       const Report& report) {
  std::vector<std::byte> block(std::size_t(1) << 20);
  Hash hash;
  while (bytes > 0) {
    const auto part =
        std::span(block).first(std::size_t(std::min<std::uint64_t>(bytes, block.size())));
    file.pread_all(offset, part);
    hash.update(part);
    offset += part.size();
    bytes -= part.size();
    report(part.size());
  }
  return hash.hex();
}

std::uint64_t bytes_of(const CorpusShard& shard, StoredType type) {
  return shard.tokens * item_bytes(type) + shard.documents * item_bytes(StoredType::u64);
}

// Calls check; adds what it says to the problems.
void collect(std::vector<std::string>& problems, const std::function<void()>& check) {
  try {
    check();
  } catch (const Error& e) {
    problems.push_back(e.what());
  }
}

void check_source_list(const fs::path& directory, const nlohmann::json& arguments) {
  const nlohmann::json sources =
      arguments.is_object() ? arguments.value("sources", nlohmann::json()) : nlohmann::json();
  if (!sources.is_object() || !sources.contains("xxh3")) return;
  const fs::path path = directory / kCorpusSourcesName;
  std::error_code error;
  if (!fs::exists(path, error)) return;  // an earlier release had none, and nothing is read from it
  const File list = File::open(path);
  require(sources["xxh3"] == nlohmann::json(hash_range(list, 0, list.size(), [](std::uint64_t) {})),
          Fault::input, path.string(), ": damaged: does not have the hash of the manifest");
}

}  // namespace

ShardOffsets check_shard_structure(const File& file, const CorpusShard& facts, StoredType type) {
  const Structure structure = read_structure(file);
  return {
      dataset(structure, "tokens", type, facts.tokens, file.path()).offset,
      dataset(structure, "document_starts", StoredType::u64, facts.documents, file.path()).offset};
}

void check_shard_content(const File& file, const CorpusShard& facts, StoredType type,
                         const ShardOffsets& offsets, const Report& report) {
  const bool tokens = hash_range(file, offsets.tokens, facts.tokens * item_bytes(type), report) ==
                      facts.tokens_hash;
  const bool starts =
      hash_range(file, offsets.starts, facts.documents * item_bytes(StoredType::u64), report) ==
      facts.starts_hash;
  require(tokens && starts, Fault::input, file.path().string(), ": damaged: ",
          tokens   ? "document_starts do"
          : starts ? "tokens do"
                   : "tokens and document_starts do",
          " not have the hash of the manifest");
}

bool is_corpus(const fs::path& directory) {
  for (const std::string_view name :
       {std::string_view("train-00000.h5"), kCorpusTokenizerName, kPrepareJournalName}) {
    std::error_code error;
    if (fs::exists(directory / name, error)) return true;
  }
  return false;
}

std::vector<std::string> verify_corpus(
    const fs::path& directory, bool hashes,
    const std::function<void(std::uint64_t done, std::uint64_t total)>& report) {
  const CorpusManifest manifest = read_corpus_manifest(directory);
  std::uint64_t done = 0, total = 0;
  for (const Split split : kSplits)
    for (const CorpusShard& s : manifest.of(split)) total += bytes_of(s, manifest.token_type);
  std::vector<std::string> problems;
  collect(problems, [&] {
    const fs::path path = directory / kCorpusTokenizerName;
    const std::string hash = Tokenizer::load(path).hash();
    require(hash == manifest.tokenizer_hash, Fault::input, path.string(),
            ": is not the tokenizer of this corpus: expected hash ", manifest.tokenizer_hash,
            ", got ", hash);
  });
  if (hashes) collect(problems, [&] { check_source_list(directory, manifest.arguments); });
  for (const Split split : kSplits)
    for (const CorpusShard& s : manifest.of(split)) {
      const std::uint64_t before = done;
      collect(problems, [&] {
        const File file = File::open(directory / s.file);
        const ShardOffsets offsets = check_shard_structure(file, s, manifest.token_type);
        if (hashes)
          check_shard_content(file, s, manifest.token_type, offsets,
                              [&](std::uint64_t bytes) { report(done += bytes, total); });
      });
      report(done = before + bytes_of(s, manifest.token_type), total);
    }
  return problems;
}

}  // namespace tern
