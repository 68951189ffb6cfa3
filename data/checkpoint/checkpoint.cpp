#include "data/checkpoint/checkpoint.h"

#include <algorithm>

#include "core/check.h"
#include "data/checkpoint/directory.h"
#include "data/io/hash.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

// The label is looked for in the plain bytes, so that files of two steps in one directory are
// called that, and so that HDF5 only ever parses bytes with the right hash.
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

// of a checkpoint as it lies in the directory of a run; empty: it is good
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
  constexpr std::uint64_t kBlock = 4 << 20;  // a multiple of every element size
  const StoredTensor* tensor = find(name);
  require(tensor != nullptr, Fault::input, path_.string(), ": it has no tensor ", name);
  const std::uint64_t row = tensor->bytes() / std::max<std::uint64_t>(tensor->rows(), 1);
  const std::uint64_t begin = first * row, end = begin + count * row;
  check(first + count <= tensor->rows(), "[checkpoint] ", name, ": expected rows below ",
        tensor->rows(), ", got ", first + count);
  std::vector<std::byte> room(std::min(kBlock, tensor->bytes()));
  for (const Piece& piece : tensor->pieces) {
    const std::uint64_t at = piece.first_row * row;
    if (at >= end || at + piece.bytes <= begin) continue;
    const File file = File::open(path_ / piece.file);
    Hash hash;
    for (std::uint64_t done = 0; done < piece.bytes; done += kBlock) {
      const auto block = std::span(room).first(std::min(kBlock, piece.bytes - done));
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

}  // namespace tern
