#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

#include "core/check.h"
#include "data/checkpoint_writer.h"
#include "data/files.h"
#include "data/hash.h"
#include "data/hdf5.h"
#include "data/manifest.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kBlock = 4 << 20;  // hashed while in cache, then written

std::uint64_t row_bytes(const TensorBytes& t) {
  const std::uint64_t rows = t.shape.empty() ? 1 : t.shape[0];
  return rows ? t.bytes.size() / rows : 0;
}

Dataset dataset_of(const TensorBytes& t, const Rows& rows) {
  Dataset d{t.name, t.type, t.shape};
  check(d.bytes() == t.bytes.size(), "[checkpoint] ", t.name, ": expected ", d.bytes(), " B, got ",
        t.bytes.size());
  if (!d.shape.empty()) d.shape[0] = rows.count;
  return d;
}

void require_space(const fs::path& directory, std::span<const TensorBytes> tensors) {
  std::uint64_t bytes = 0;
  for (const TensorBytes& t : tensors) bytes += t.bytes.size();
  struct statvfs space {};
  if (::statvfs(directory.c_str(), &space) != 0) return;  // writing will tell
  const std::uint64_t needed = bytes + bytes / 10;
  const std::uint64_t available = std::uint64_t(space.f_bavail) * space.f_frsize;
  require(available >= needed, Fault::disk, directory.string(), ": a checkpoint needs ", needed,
          " B on the disk, ", available, " B are free: make room");
}

// Hashes and writes; the disk starts on a block while the next one is being hashed.
std::string write_hashed(File& file, std::uint64_t offset, std::span<const std::byte> bytes) {
  Hash hash;
  for (std::size_t done = 0; done < bytes.size(); done += kBlock) {
    const auto block = bytes.subspan(done, std::min(kBlock, bytes.size() - done));
    hash.update(block);
    file.pwrite_all(offset + done, block);
    ::sync_file_range(file.descriptor(), off_t(offset + done), off_t(block.size()),
                      SYNC_FILE_RANGE_WRITE);
  }
  return hash.hex();
}

// Writes one file and notes it, and its pieces, in the manifest.
void write_part(const fs::path& path, const Part& part, std::span<const TensorBytes> tensors,
                Manifest& manifest) {
  Structure structure{.attributes = {{"tern", shard_label(manifest.step)}}};
  for (const Rows& rows : part)
    structure.datasets.push_back(dataset_of(tensors[rows.tensor], rows));
  File file = File::create(path);
  write_structure(file, structure);
  const std::string name = path.filename().string();
  for (std::size_t i = 0; i < part.size(); ++i) {
    const TensorBytes& t = tensors[part[i].tensor];
    const Dataset& d = structure.datasets[i];
    const auto bytes = t.bytes.subspan(part[i].first * row_bytes(t), d.bytes());
    manifest.tensors[part[i].tensor].pieces.push_back({name, d.offset, d.bytes(), part[i].first,
                                                       part[i].count,
                                                       write_hashed(file, d.offset, bytes)});
  }
  const std::string around = read_structure_bytes(file, extents_of(manifest, name));
  manifest.files.push_back(
      {name, structure.file_bytes, hash_hex(std::as_bytes(std::span(around)))});
  file.sync();
  file.close();
}

void write_manifest(const fs::path& path, const Manifest& manifest) {
  const std::string text = to_text(manifest);
  File file = File::create(path);
  file.write_all(std::as_bytes(std::span(text)));
  file.sync();
  file.close();
}

Manifest manifest_of(const CheckpointOptions& options, const CheckpointFacts& facts,
                     std::span<const TensorBytes> tensors) {
  Manifest manifest{options.version,
                    facts.step,
                    facts.tokens,
                    facts.parameters,
                    std::uint64_t(options.world),
                    facts.config,
                    facts.state,
                    {},
                    {}};
  for (const TensorBytes& t : tensors) manifest.tensors.push_back({t.name, t.type, t.shape, {}});
  return manifest;
}

}  // namespace

std::uint64_t write_checkpoint(const CheckpointOptions& options, const CheckpointFacts& facts,
                               std::span<const TensorBytes> tensors) {
  const std::string name = checkpoint_name(facts.step);
  const fs::path temporary = options.directory / (name + ".tmp");
  require_space(options.directory, tensors);
  fs::remove_all(temporary);
  const bool made = ::mkdir(temporary.c_str(), 0777) == 0;
  require(made, Fault::disk, temporary.string(), ": cannot make it: ", system_message(errno));
  try {
    Manifest manifest = manifest_of(options, facts, tensors);
    const std::vector<Part> parts = plan_parts(tensors, options.part_bytes);
    for (std::size_t i = 0; i < parts.size(); ++i)
      write_part(temporary / part_name(options.rank, i), parts[i], tensors, manifest);
    write_manifest(temporary / "manifest.json", manifest);
    fsync_directory(temporary);
    publish_checkpoint(options.directory, name);
    std::uint64_t bytes = 0;
    for (const StoredFile& file : manifest.files) bytes += file.bytes;
    return bytes;
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
}

}  // namespace tern
