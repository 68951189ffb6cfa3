#include "data/corpus/corpus.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <system_error>

#include "core/check.h"
#include "data/io/files.h"
#include "data/io/hash.h"
#include "data/io/hdf5.h"
#include "data/text/input_files.h"

namespace tern {

namespace fs = std::filesystem;
namespace {

constexpr std::size_t kBlockTokens = std::size_t(1) << 16;

template <class Stored>
void widen(std::span<const std::byte> bytes, std::span<std::int32_t> ids) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof stored, sizeof stored);
    ids[i] = std::int32_t(stored);  // a value that does not fit becomes negative
  }
}

std::string manifest_text(const fs::path& directory) {
  const fs::path path = directory / kCorpusManifestName;
  if (!path_exists(path)) {
    const bool unfinished = path_exists(directory / kPrepareJournalName);
    fail(Fault::input, directory.string(),
         unfinished ? ": this corpus is unfinished: run the same tern prepare again to resume"
                    : ": holds no corpus (no manifest.json): make one with tern prepare");
  }
  return read_file(path, kMaxCorpusManifestBytes);
}

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

// Calls check and adds its error to the problems.
void collect(std::vector<std::string>& problems, const std::function<void()>& check) {
  try {
    check();
  } catch (const Error& e) {
    problems.push_back(e.what());
  }
}

// The tokenizer beside the manifest, checked to be the one that made the ids.
Tokenizer load_tokenizer(const fs::path& directory, const CorpusManifest& manifest) {
  const fs::path path = directory / manifest.tokenizer_file;
  Tokenizer tokenizer = Tokenizer::parse(read_file(path, kMaxTokenizerBytes, Links::follow), path);
  require(tokenizer.is(manifest.tokenizer_hash), Fault::input, path.string(),
          ": is not the tokenizer of this corpus: expected hash ", manifest.tokenizer_hash,
          ", got ", tokenizer.hash());
  require(tokenizer.vocab_size() == manifest.vocab_size, Fault::input,
          (directory / kCorpusManifestName).string(), ": vocab_size: expected ",
          tokenizer.vocab_size(), ", the size of its tokenizer, got ", manifest.vocab_size,
          ": prepare the corpus again");
  return tokenizer;
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

Corpus Corpus::open(const fs::path& directory, Split split, std::shared_ptr<FileCache> files) {
  Corpus corpus = with_manifest(directory, std::move(files));
  corpus.open_shards(split);
  return corpus;
}

Corpus Corpus::open_held_out(const fs::path& directory, std::shared_ptr<FileCache> files) {
  Corpus corpus = with_manifest(directory, std::move(files));
  const bool set_aside = !corpus.manifest_.of(Split::validation).empty();
  corpus.open_shards(set_aside ? Split::validation : Split::train);
  return corpus;
}

Corpus Corpus::with_manifest(const fs::path& directory, std::shared_ptr<FileCache> files) {
  return Corpus(directory, read_corpus_manifest(directory), std::move(files));
}

CorpusManifest read_corpus_manifest(const fs::path& directory) {
  return parse_corpus_manifest(manifest_text(directory),
                               (directory / kCorpusManifestName).string());
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
  const File file = File::open(directory_ / facts.file);
  const ShardOffsets offsets = check_shard_structure(file, facts, manifest_.token_type);
  shards_.push_back({facts, file.path(), token_count_, offsets, file.identity()});
  token_count_ += facts.tokens;
  document_count_ += facts.documents;
  text_bytes_ += facts.text_bytes;
}

// The file of the shard, unchanged since the corpus was opened, or another one of equal content.
std::shared_ptr<const File> Corpus::file_of(const Shard& shard) const {
  const std::lock_guard lock(*identities_);
  try {
    std::shared_ptr<const File> file = files_->open(shard.path);
    if (file->identity() == shard.identity) return file;
    files_->forget(shard.path);
    file = files_->open(shard.path);
    const FileIdentity identity = file->identity();
    const StoredType type = manifest_.token_type;
    require(check_shard_structure(*file, shard.facts, type) == shard.offsets, Fault::input,
            shard.path.string(), ": has another structure");
    check_shard_content(*file, shard.facts, type, shard.offsets, [](std::uint64_t) {});
    shard.identity = identity;
    return file;
  } catch (const Error& e) {
    if (e.fault != Fault::input) throw;
    files_->forget(shard.path);
    fail(Fault::input, e.what(), ": the shard was deleted or changed after the corpus was opened");
  }
}

void Corpus::read(std::uint64_t first, std::span<std::int32_t> ids) const {
  check(first <= token_count_ && ids.size() <= token_count_ - first,
        "[corpus] expected positions up to ", token_count_, ", got ", first, " to ",
        first + ids.size());
  auto shard = std::upper_bound(shards_.begin(), shards_.end(), first,
                                [](std::uint64_t at, const Shard& s) { return at < s.first; }) -
               1;
  for (; !ids.empty(); ++shard) {
    const std::shared_ptr<const File> file = file_of(*shard);
    const std::uint64_t at = first - shard->first;
    const auto here = std::size_t(std::min<std::uint64_t>(ids.size(), shard->facts.tokens - at));
    for (std::size_t done = 0; done < here; done += kBlockTokens)
      read_shard(*file, *shard, at + done, ids.subspan(done, std::min(kBlockTokens, here - done)));
    ids = ids.subspan(here);
    first += here;
  }
}

void Corpus::read_shard(const File& file, const Shard& shard, std::uint64_t first,
                        std::span<std::int32_t> ids) const {
  const std::size_t width = item_bytes(manifest_.token_type);
  std::vector<std::byte> bytes(ids.size() * width);
  file.pread_all(shard.offsets.tokens + first * width, bytes);
  if (width == 2)
    widen<std::uint16_t>(bytes, ids);
  else
    widen<std::uint32_t>(bytes, ids);
  for (std::size_t i = 0; i < ids.size(); ++i)
    require(ids[i] >= 0 && ids[i] < manifest_.vocab_size, Fault::input, shard.path.string(),
            ": token ", first + i, ": expected an id below ", manifest_.vocab_size, ", got ",
            std::uint32_t(ids[i]));
}

// Number of documents that begin before that position of the shard: a binary search in the file.
std::uint64_t Corpus::starts_before(const File& file, const Shard& shard,
                                    std::uint64_t position) const {
  std::uint64_t low = 0, high = shard.facts.documents;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    std::uint64_t start = 0;
    file.pread_all(shard.offsets.starts + middle * sizeof start,
                   std::as_writable_bytes(std::span(&start, 1)));
    (start < position ? low : high) = start < position ? middle + 1 : middle;
  }
  return low;
}

std::vector<std::uint64_t> Corpus::document_starts(std::uint64_t first, std::uint64_t end) const {
  std::vector<std::uint64_t> starts;
  for (const Shard& shard : shards_) {
    // A shard may end with the start of a document that has its first token in the next one.
    const std::uint64_t last = shard.first + shard.facts.tokens;
    if (last < first || shard.first >= end) continue;
    const std::shared_ptr<const File> file = file_of(shard);
    const std::uint64_t from =
        first > shard.first ? starts_before(*file, shard, first - shard.first) : 0;
    const std::uint64_t to =
        end > last ? shard.facts.documents : starts_before(*file, shard, end - shard.first);
    std::vector<std::uint64_t> here(std::max(from, to) - from);
    file->pread_all(shard.offsets.starts + from * 8, std::as_writable_bytes(std::span(here)));
    for (const std::uint64_t start : here) {
      const bool in_order = starts.empty() || shard.first + start >= starts.back();
      require(start <= shard.facts.tokens && in_order, Fault::input, shard.path.string(),
              ": document_starts: expected ascending positions up to ", shard.facts.tokens,
              ", got ", start);
      starts.push_back(shard.first + start);
    }
  }
  while (!starts.empty() && starts.back() >= end) starts.pop_back();  // behind the last token
  return starts;
}

DocumentLayout Corpus::layout() const {
  std::vector<std::int32_t> ids(std::size_t(std::min<std::uint64_t>(token_count_, kBlockTokens)));
  read(token_count_ - 1, std::span(ids).first(1));
  const std::int32_t last = ids[0];
  read(0, ids);
  const Tokenizer t = tokenizer();
  const auto holds = [&](std::int32_t id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  return {.bos = holds(t.bos_id()), .eos = last == t.eos_id() || holds(t.eos_id())};
}

Tokenizer Corpus::tokenizer() const {
  return load_tokenizer(directory_, manifest_);
}

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
       {std::string_view("train-00000.h5"), kModelFileName, kPrepareJournalName}) {
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
  collect(problems, [&] { load_tokenizer(directory, manifest); });
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
