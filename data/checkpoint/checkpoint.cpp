#include "data/checkpoint/checkpoint.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "data/checkpoint/directory.h"
#include "data/io/hash.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kBlock = 4 << 20;  // a multiple of every element size

// Searches for the label in the plain bytes. So files of another step are reported as such, and
// HDF5 parses only bytes with the right hash.
void require_label(const std::string& structure, std::uint64_t step, const std::string& where) {
  const std::string label = shard_label(step);
  if (structure.find(label) != structure.npos) return;
  const std::size_t other = structure.find(label.substr(0, label.find(", step ")));
  const std::size_t end = structure.find(';', other);
  const bool found = other != structure.npos && end - other < 80;
  fail(Fault::input, where, ": expected \"", label, "\" in it, got ",
       found ? '"' + structure.substr(other, end - other + 1) + '"' : "no such label");
}

void require_file(const fs::path& directory, const StoredFile& stored, const Manifest& manifest) {
  const File file = File::open(directory / stored.name);
  const std::string where = file.path().string();
  const std::uint64_t size = file.size();
  require(size == stored.bytes, Fault::input, where, ": expected ", stored.bytes, " B, got ", size,
          size < stored.bytes ? " B: the file is truncated" : " B");
  const std::string around = read_structure_bytes(file, extents_of(manifest, stored.name));
  require_label(around, manifest.step, where);
  require(hash_hex(std::as_bytes(std::span(around))) == stored.structure_hash, Fault::input, where,
          ": its HDF5 structure is damaged: expected XXH3-128 ", stored.structure_hash);
}

// The problem of a checkpoint in the directory of a run; empty: none.
std::string problem_of(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::symlink_status(path, error).type();
  if (type == fs::file_type::symlink)
    return path.string() + ": a symbolic link: expected the directory itself";
  try {
    const Checkpoint checkpoint = Checkpoint::open(path);
    const std::uint64_t step = checkpoint.manifest().step;
    if (checkpoint_name(step) != path.filename())
      return path.string() + ": it holds step " + std::to_string(step) + ", not that of its name";
    const Findings findings = checkpoint.verify();
    if (findings.problems.empty()) return "";
    const std::size_t more = findings.problems.size() - 1;
    return findings.problems[0] + (more ? " (and " + std::to_string(more) + " more problems)" : "");
  } catch (const Error& e) {
    return e.what();
  }
}

struct NotFinite {
  std::uint64_t count = 0, first = 0;  // elements
};

// NaN and infinity are the floats with every bit of the exponent set.
template <class Bits>
void scan(Bits exponent, std::span<const std::byte> block, std::uint64_t done, NotFinite& found) {
  const auto bad = [&](std::size_t i) {
    Bits bits;
    std::memcpy(&bits, block.data() + i * sizeof bits, sizeof bits);
    return (bits & exponent) == exponent;
  };
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < block.size() / sizeof(Bits); ++i) count += bad(i);
  if (count > 0 && found.count == 0) {
    std::size_t i = 0;
    while (!bad(i)) ++i;
    found.first = done / sizeof(Bits) + i;
  }
  found.count += count;
}

void scan(StoredType type, std::span<const std::byte> block, std::uint64_t done, NotFinite& found) {
  switch (type) {
    case StoredType::f64:
      return scan(std::uint64_t(0x7ff0'0000'0000'0000), block, done, found);
    case StoredType::f32:
      return scan(std::uint32_t(0x7f80'0000), block, done, found);
    case StoredType::bf16:
      return scan(std::uint16_t(0x7f80), block, done, found);
    default:
      return;
  }
}

template <class... Parts>
void note(std::vector<std::string>& list, const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  list.push_back(text.str());
}

void verify_piece(const File& file, const StoredTensor& tensor, const StoredRows& piece,
                  std::vector<std::byte>& block, Findings& findings) {
  Hash hash;
  NotFinite bad;
  for (std::uint64_t done = 0; done < piece.bytes; done += kBlock) {
    const auto bytes = std::span(block).first(std::min<std::uint64_t>(kBlock, piece.bytes - done));
    file.pread_all(piece.offset + done, bytes);
    hash.update(bytes);
    scan(tensor.type, bytes, done, bad);
  }
  const std::string where = file.path().string() + ": tensor " + tensor.name;
  const std::uint64_t before = tensor.bytes() / std::max<std::uint64_t>(tensor.rows(), 1) *
                               piece.first_row / item_bytes(tensor.type);
  if (hash.hex() != piece.hash)
    note(findings.problems, where, " is damaged: expected XXH3-128 ", piece.hash, ", got ",
         hash.hex(), " of its ", piece.bytes, " B at offset ", piece.offset);
  else if (bad.count > 0)
    note(findings.problems, where, " holds ", bad.count,
         " NaN or infinite values, the first is element ", before + bad.first);
}

struct FilePiece {
  const StoredTensor* tensor;
  const StoredRows* piece;
};

// Checks that HDF5 reads the tensors of the manifest: programs other than tern read through HDF5.
void verify_structure(const File& file, const std::vector<FilePiece>& pieces, Findings& findings) {
  std::map<std::string, Dataset> datasets;
  for (Dataset& d : read_structure(file).datasets) datasets.emplace(d.name, std::move(d));
  const std::string where = file.path().string();
  if (datasets.size() != pieces.size())
    note(findings.problems, where, ": expected ", pieces.size(), " datasets, got ",
         datasets.size());
  for (const auto& [tensor, piece] : pieces) {
    const auto found = datasets.find(tensor->name);
    std::vector<std::uint64_t> shape = tensor->shape;
    if (!shape.empty()) shape[0] = piece->rows;
    if (found == datasets.end() || found->second.type != tensor->type ||
        found->second.shape != shape || found->second.offset != piece->offset)
      note(findings.problems, where, ": tensor ", tensor->name,
           ": its dataset is not what the manifest says");
  }
}

void verify_file(const fs::path& path, const std::vector<FilePiece>& pieces,
                 std::vector<std::byte>& block, Findings& findings) {
  try {
    const File file = File::open(path);
    verify_structure(file, pieces, findings);
    for (const auto& [tensor, piece] : pieces) verify_piece(file, *tensor, *piece, block, findings);
  } catch (const Error& e) {
    findings.problems.push_back(e.what());
  }
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& given) {
  const fs::path path = named_checkpoint(given);
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  require(!error || status.type() == fs::file_type::not_found, Fault::input, path.string(),
          ": cannot open the checkpoint: ", error.message());
  require(fs::is_directory(status), Fault::input, path.string(),
          ": expected the directory of a checkpoint, got ",
          fs::exists(status) ? "something else" : "nothing of that name");
  const fs::path manifest = path / "manifest.json";
  require(fs::symlink_status(manifest, error).type() != fs::file_type::not_found, Fault::input,
          path.string(),
          ": it has no manifest.json: not a checkpoint, or one that was never finished");
  Checkpoint checkpoint;
  checkpoint.path_ = path;
  checkpoint.manifest_ = parse_manifest(read_file(manifest, kMaxManifestBytes), manifest.string());
  for (const StoredFile& file : checkpoint.manifest_.files)
    require_file(path, file, checkpoint.manifest_);
  return checkpoint;
}

const StoredTensor* Checkpoint::find(const std::string& name) const {
  const auto& all = manifest_.tensors;
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const StoredTensor& t) { return t.name == name; });
  return found == all.end() ? nullptr : &*found;
}

void Checkpoint::read(const std::string& name, std::span<std::byte> to) const {
  const StoredTensor* tensor = find(name);
  require(tensor != nullptr, Fault::input, path_.string(), ": it has no tensor ", name);
  check(to.size() == tensor->bytes(), "[checkpoint] ", name, ": expected room for ",
        tensor->bytes(), " B, got ", to.size());
  read_rows(name, 0, tensor->rows(), [&](std::uint64_t offset, std::span<const std::byte> block) {
    std::copy(block.begin(), block.end(), to.begin() + std::ptrdiff_t(offset));
  });
}

void Checkpoint::read_rows(
    const std::string& name, std::uint64_t first, std::uint64_t count,
    const std::function<void(std::uint64_t, std::span<const std::byte>)>& take) const {
  const StoredTensor* tensor = find(name);
  require(tensor != nullptr, Fault::input, path_.string(), ": it has no tensor ", name);
  const std::uint64_t row = tensor->bytes() / std::max<std::uint64_t>(tensor->rows(), 1);
  const std::uint64_t begin = first * row, end = begin + count * row;
  check(first + count <= tensor->rows(), "[checkpoint] ", name, ": expected rows below ",
        tensor->rows(), ", got ", first + count);
  std::vector<std::byte> room(std::min<std::uint64_t>(kBlock, tensor->bytes()));
  for (const StoredRows& piece : tensor->pieces) {
    const std::uint64_t at = piece.first_row * row;
    if (at >= end || at + piece.bytes <= begin) continue;
    const File file = File::open(path_ / piece.file);
    Hash hash;
    for (std::uint64_t done = 0; done < piece.bytes; done += kBlock) {
      const auto block = std::span(room).first(std::min<std::uint64_t>(kBlock, piece.bytes - done));
      file.pread_all(piece.offset + done, block);
      hash.update(block);
      const std::uint64_t from = std::max(begin, at + done);
      const std::uint64_t to = std::min(end, at + done + block.size());
      if (from < to) take(from - begin, block.subspan(from - at - done, to - from));
    }
    require(hash.hex() == piece.hash, Fault::input, file.path().string(), ": tensor ", name,
            " is damaged: expected XXH3-128 ", piece.hash, " of its ", piece.bytes, " B at offset ",
            piece.offset);
  }
}

NewestGood newest_good(const fs::path& directory, std::uint64_t most) {
  NewestGood result;
  std::vector<std::uint64_t> steps = checkpoint_entries(directory);
  std::erase_if(steps, [&](std::uint64_t step) { return step > most; });
  for (auto step = steps.rbegin(); step != steps.rend() && !result.path; ++step) {
    const fs::path path = directory / checkpoint_name(*step);
    const std::string problem = problem_of(path);
    if (problem.empty())
      result.path = path;
    else
      result.passed_over.push_back(problem);
  }
  return result;
}

Findings Checkpoint::verify() const {
  std::map<std::string, std::vector<FilePiece>> pieces;
  for (const StoredFile& file : manifest_.files) pieces[file.name];
  for (const StoredTensor& tensor : manifest_.tensors)
    for (const StoredRows& piece : tensor.pieces) pieces[piece.file].push_back({&tensor, &piece});
  Findings findings;
  std::vector<std::byte> block(kBlock);
  for (const auto& [name, of_file] : pieces) verify_file(path_ / name, of_file, block, findings);
  std::error_code error;
  for (fs::directory_iterator entry(path_, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name != "manifest.json" && !pieces.contains(name))
      note(findings.warnings, entry->path().string(), ": not in the manifest, ignored");
  }
  if (error) note(findings.warnings, path_.string(), ": cannot be listed: ", error.message());
  return findings;
}

}  // namespace tern
