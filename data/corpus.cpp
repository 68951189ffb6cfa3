#include "data/corpus.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "data/hash.h"
#include "data/hdf5.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kBlockTokens = std::size_t(1) << 16;

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

template <class Stored>
void widen(std::span<const std::byte> bytes, std::span<std::int32_t> ids) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof stored, sizeof stored);
    ids[i] = std::int32_t(stored);  // what does not fit becomes negative
  }
}

std::string hash_range(const File& file, std::uint64_t offset, std::uint64_t bytes) {
  std::vector<std::byte> block(std::size_t(1) << 20);
  Hash hash;
  while (bytes > 0) {
    const auto part =
        std::span(block).first(std::size_t(std::min<std::uint64_t>(bytes, block.size())));
    file.pread_all(offset, part);
    hash.update(part);
    offset += part.size();
    bytes -= part.size();
  }
  return hash.hex();
}

}  // namespace

Corpus Corpus::open(const fs::path& directory, Split split) {
  Corpus corpus = with_manifest(directory);
  corpus.open_shards(split);
  return corpus;
}

Corpus Corpus::open_held_out(const fs::path& directory) {
  Corpus corpus = with_manifest(directory);
  const bool set_aside = !corpus.manifest_.of(Split::validation).empty();
  corpus.open_shards(set_aside ? Split::validation : Split::train);
  return corpus;
}

Corpus Corpus::with_manifest(const fs::path& directory) {
  const fs::path path = directory / kCorpusManifestName;
  if (!fs::exists(path)) {
    const bool unfinished = fs::exists(directory / kPrepareJournalName);
    fail(Fault::input, directory.string(),
         unfinished ? ": this corpus is unfinished: run the same tern prepare again, it continues"
                    : ": holds no corpus (no manifest.json): make one with tern prepare");
  }
  const std::string text = read_file(path, kMaxCorpusManifestBytes);
  return Corpus(directory, parse_corpus_manifest(text, path.string()));
}

void Corpus::open_shards(Split split) {
  split_ = split;
  const std::vector<CorpusShard> shards = manifest_.of(split);
  require(!shards.empty(), Fault::input, directory_.string(), ": has no ", name_of(split), " split",
          split == Split::validation ? ": tern prepare makes one with --validation FRACTION" : "");
  for (const CorpusShard& shard : shards) open_shard(shard);
  std::string content = manifest_.tokenizer_hash;
  for (const CorpusShard& shard : shards)
    content += ' ' + std::to_string(shard.tokens) + ' ' + shard.tokens_hash;
  content_hash_ = hash_hex(std::as_bytes(std::span(content)));
}

void Corpus::open_shard(const CorpusShard& facts) {
  File file = File::open(directory_ / facts.file);
  const Structure structure = read_structure(file);
  const std::uint64_t tokens =
      dataset(structure, "tokens", manifest_.token_type, facts.tokens, file.path()).offset;
  const std::uint64_t starts =
      dataset(structure, "document_starts", StoredType::u64, facts.documents, file.path()).offset;
  shards_.push_back({facts, std::move(file), token_count_, tokens, starts});
  token_count_ += facts.tokens;
  document_count_ += facts.documents;
  text_bytes_ += facts.text_bytes;
}

void Corpus::read(std::uint64_t first, std::span<std::int32_t> ids) const {
  check(first <= token_count_ && ids.size() <= token_count_ - first,
        "[corpus] expected positions up to ", token_count_, ", got ", first, " to ",
        first + ids.size());
  auto shard = std::upper_bound(shards_.begin(), shards_.end(), first,
                                [](std::uint64_t at, const Shard& s) { return at < s.first; }) -
               1;
  for (; !ids.empty(); ++shard) {
    const std::uint64_t at = first - shard->first;
    const auto here = std::size_t(std::min<std::uint64_t>(ids.size(), shard->facts.tokens - at));
    for (std::size_t done = 0; done < here; done += kBlockTokens)
      read_shard(*shard, at + done, ids.subspan(done, std::min(kBlockTokens, here - done)));
    ids = ids.subspan(here);
    first += here;
  }
}

void Corpus::read_shard(const Shard& shard, std::uint64_t first,
                        std::span<std::int32_t> ids) const {
  const std::size_t width = item_bytes(manifest_.token_type);
  std::vector<std::byte> bytes(ids.size() * width);
  shard.file.pread_all(shard.tokens_offset + first * width, bytes);
  if (width == 2)
    widen<std::uint16_t>(bytes, ids);
  else
    widen<std::uint32_t>(bytes, ids);
  for (std::size_t i = 0; i < ids.size(); ++i)
    require(ids[i] >= 0 && ids[i] < manifest_.vocab_size, Fault::input, shard.file.path().string(),
            ": token ", first + i, ": expected an id below ", manifest_.vocab_size, ", got ",
            std::uint32_t(ids[i]));
}

std::vector<std::uint64_t> Corpus::document_starts() const {
  std::vector<std::uint64_t> starts;
  for (const Shard& shard : shards_) {
    std::vector<std::uint64_t> here(shard.facts.documents);
    shard.file.pread_all(shard.starts_offset, std::as_writable_bytes(std::span(here)));
    for (const std::uint64_t start : here) {
      const bool in_order = starts.empty() || shard.first + start >= starts.back();
      require(start < shard.facts.tokens && in_order, Fault::input, shard.file.path().string(),
              ": document_starts: expected ascending positions below ", shard.facts.tokens,
              ", got ", start);
      starts.push_back(shard.first + start);
    }
  }
  return starts;
}

void Corpus::verify() const {
  for (const Shard& s : shards_) {
    const std::uint64_t bytes = s.facts.tokens * item_bytes(manifest_.token_type);
    const std::string tokens = hash_range(s.file, s.tokens_offset, bytes);
    const std::string starts = hash_range(s.file, s.starts_offset, s.facts.documents * 8);
    require(tokens == s.facts.tokens_hash && starts == s.facts.starts_hash, Fault::input,
            s.file.path().string(),
            ": damaged: ", tokens == s.facts.tokens_hash ? "document_starts do" : "tokens do",
            " not have the hash of the manifest");
  }
}

Tokenizer Corpus::tokenizer() const {
  const fs::path path = directory_ / kCorpusTokenizerName;
  const Tokenizer tokenizer = Tokenizer::load(path);
  require(tokenizer.hash() == manifest_.tokenizer_hash, Fault::input, path.string(),
          ": is not the tokenizer of this corpus: expected hash ", manifest_.tokenizer_hash,
          ", got ", tokenizer.hash());
  return tokenizer;
}

}  // namespace tern
