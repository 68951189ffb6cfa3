#include "data/checkpoint/writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include "core/check.h"
#include "data/checkpoint/manifest.h"
#include "data/io/files.h"
#include "data/io/hash.h"
#include "data/io/hdf5.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

// Upper bounds of what HDF5 stores beside the elements: metadata, headers and padding.
constexpr std::uint64_t kFileOverhead = 192 << 10, kDatasetOverhead = 2 * 4096;

class Planner {
 public:
  explicit Planner(std::uint64_t part_bytes)
      : room_(part_bytes > kFileOverhead ? part_bytes - kFileOverhead : 0) {}

  void add(std::size_t tensor, std::uint64_t rows, std::uint64_t bytes) {
    if (!parts_.empty() && bytes + kDatasetOverhead > left() && bytes + kDatasetOverhead <= room_)
      open_part();
    const std::uint64_t row_bytes = rows ? bytes / rows : 0;
    std::uint64_t first = 0;
    do {
      if (parts_.empty()) open_part();
      const std::uint64_t count = rows_that_fit(rows - first, row_bytes);
      if (count > 0 || rows == 0) put({tensor, first, count}, count * row_bytes);
      first += count;
      if (first < rows) open_part();
    } while (first < rows);
  }

  std::vector<Part> take() { return std::move(parts_); }

 private:
  std::uint64_t left() const { return used_ < room_ ? room_ - used_ : 0; }

  // At least one in an empty part: a row larger than a part gets a larger part.
  std::uint64_t rows_that_fit(std::uint64_t rows, std::uint64_t row_bytes) const {
    if (row_bytes == 0) return rows;
    const std::uint64_t data = left() > kDatasetOverhead ? left() - kDatasetOverhead : 0;
    return std::min(rows, std::max<std::uint64_t>(data / row_bytes, parts_.back().empty()));
  }

  void open_part() {
    if (!parts_.empty() && parts_.back().empty()) return;
    parts_.emplace_back();
    used_ = 0;
  }

  void put(const Rows& rows, std::uint64_t bytes) {
    parts_.back().push_back(rows);
    used_ += bytes + kDatasetOverhead;
  }

  std::vector<Part> parts_;
  std::uint64_t room_, used_ = 0;  // bytes per part
};

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void prepare(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  require(!error, Fault::disk, directory.string(),
          ": cannot make the checkpoint directory: ", error.message());
  remove_leftovers(directory);
  const fs::path probe = directory / ("step-probe-" + std::to_string(::getpid()) + ".tmp");
  File::create(probe);
  fs::remove(probe, error);
}

Dataset dataset_of(const TensorBytes& t, const Rows& rows) {
  Dataset d{t.name, t.type, t.shape};
  const bool part = t.row_bytes() > 0 && t.size() % t.row_bytes() == 0 && t.size() < d.bytes();
  check(part || d.bytes() == t.size(), "[checkpoint] ", t.name, ": expected ", d.bytes(),
        " B, or whole rows, got ", t.size());
  if (!d.shape.empty()) d.shape[0] = rows.count;
  return d;
}

// Each of several processes checks the space for all: their shards are of similar size.
void require_space(const CheckpointOptions& options, std::span<const TensorBytes> tensors) {
  const fs::path& directory = options.directory;
  std::uint64_t bytes = 0;
  for (const TensorBytes& t : tensors) bytes += t.size();
  struct statvfs space {};
  if (::statvfs(directory.c_str(), &space) != 0) return;  // writing reports the error
  bytes *= std::uint64_t(options.world);
  const std::uint64_t needed = bytes + bytes / 10;
  const std::uint64_t available = std::uint64_t(space.f_bavail) * space.f_frsize;
  require(available >= needed, Fault::disk, directory.string(), ": a checkpoint needs ", needed,
          " B on the disk, ", available, " B are free: make room");
}

// Bytes [first, first + size) of a tensor, one block at a time, without a copy where they are in
// host memory already.
class Blocks {
 public:
  std::span<const std::byte> at(const TensorBytes& t, std::uint64_t first, std::size_t size) {
    if (!t.download) return t.bytes.subspan(first, size);
    room_.resize(kCheckpointBlock);
    const auto block = std::span(room_).first(size);
    t.download(first, block);
    return block;
  }

 private:
  std::vector<std::byte> room_;
};

// Writes bytes [first, first + size) of a tensor and hashes them; the disk starts on a block while
// the next one is being hashed.
std::string write_hashed(File& file, std::uint64_t offset, const TensorBytes& t,
                         std::uint64_t first, std::uint64_t size, Blocks& blocks) {
  Hash hash;
  for (std::uint64_t done = 0; done < size; done += kCheckpointBlock) {
    const auto block =
        blocks.at(t, first + done, std::min<std::uint64_t>(kCheckpointBlock, size - done));
    hash.update(block);
    file.pwrite_all(offset + done, block);
    ::sync_file_range(file.descriptor(), off_t(offset + done), off_t(block.size()),
                      SYNC_FILE_RANGE_WRITE);
  }
  return hash.hex();
}

// Writes one file and adds it, with its pieces, to the manifest.
void write_part(const fs::path& path, const Part& part, std::span<const TensorBytes> tensors,
                Blocks& blocks, Manifest& manifest) {
  Structure structure{.attributes = {{"tern", shard_label(manifest.step)}}};
  for (const Rows& rows : part)
    structure.datasets.push_back(dataset_of(tensors[rows.tensor], rows));
  File file = File::create(path);
  write_structure(file, structure);
  const std::string name = path.filename().string();
  for (std::size_t i = 0; i < part.size(); ++i) {
    const TensorBytes& t = tensors[part[i].tensor];
    const Dataset& d = structure.datasets[i];
    const std::string hash =
        write_hashed(file, d.offset, t, part[i].first * t.row_bytes(), d.bytes(), blocks);
    manifest.tensors[part[i].tensor].pieces.push_back(
        {name, d.offset, d.bytes(), t.first_row + part[i].first, part[i].count, hash});
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

Manifest facts_of(const CheckpointOptions& options, const CheckpointFacts& facts) {
  return {options.version,
          facts.step,
          facts.tokens,
          facts.parameters,
          std::uint64_t(options.world),
          facts.config,
          facts.state,
          {},
          {}};
}

fs::path temporary_of(const CheckpointOptions& options, std::uint64_t step) {
  return options.directory / (checkpoint_name(step) + ".tmp");
}

// Everything but the manifest, into the temporary directory.
Manifest write_parts(const CheckpointOptions& options, const CheckpointFacts& facts,
                     std::span<const TensorBytes> tensors) {
  const fs::path temporary = temporary_of(options, facts.step);
  Manifest manifest = facts_of(options, facts);
  for (const TensorBytes& t : tensors) manifest.tensors.push_back({t.name, t.type, t.shape, {}});
  const std::vector<Part> parts = plan_parts(tensors, options.part_bytes);
  Blocks blocks;
  for (std::size_t i = 0; i < parts.size(); ++i)
    write_part(temporary / part_name(options.rank, i), parts[i], tensors, blocks, manifest);
  return manifest;
}

std::uint64_t complete(const CheckpointOptions& options, const Manifest& manifest) {
  const fs::path temporary = temporary_of(options, manifest.step);
  write_manifest(temporary / "manifest.json", manifest);
  fsync_directory(temporary);
  publish_checkpoint(options.directory, checkpoint_name(manifest.step));
  std::uint64_t bytes = 0;
  for (const StoredFile& file : manifest.files) bytes += file.bytes;
  return bytes;
}

}  // namespace

std::uint64_t TensorBytes::row_bytes() const {
  std::uint64_t product = item_bytes(type);
  for (std::size_t i = 1; i < shape.size(); ++i) product *= shape[i];
  return product;
}

std::uint64_t TensorBytes::rows() const {
  if (shape.empty()) return 1;
  return row_bytes() ? size() / row_bytes() : shape[0];
}

std::vector<Part> plan_parts(std::span<const TensorBytes> tensors, std::uint64_t part_bytes) {
  Planner planner(part_bytes);
  for (std::size_t i = 0; i < tensors.size(); ++i)
    planner.add(i, tensors[i].rows(), tensors[i].size());
  return planner.take();
}

std::string part_name(int rank, std::size_t part) {
  char name[48];
  std::snprintf(name, sizeof name, "rank-%03d-part-%02zu.h5", rank, part);
  return name;
}

std::uint64_t snapshot_bytes(std::span<const TensorBytes> tensors) {
  std::uint64_t bytes = 0;
  for (const TensorBytes& t : tensors) bytes += t.constant ? 0 : t.size();
  return bytes;
}

std::string tidy_checkpoints(const CheckpointOptions& options, const CheckpointFacts& saved) {
  try {
    note_latest(options.directory, checkpoint_name(saved.step));
    if (saved.best) note_best(options.directory, checkpoint_name(*saved.best));
    Retention retention = options.retention;
    retention.best = saved.best;
    if (saved.prune) prune_checkpoints(options.directory, saved.step, retention);
    return {};
  } catch (const std::exception& e) {
    return e.what();
  }
}

CheckpointWriter::CheckpointWriter(CheckpointOptions options) : options_(std::move(options)) {
  if (options_.rank > 0) return;  // rank 0 prepares the directory
  try {
    prepare(options_.directory);
  } catch (const fs::filesystem_error& e) {
    fail(Fault::disk, options_.directory.string(), ": not usable for checkpoints: ", e.what());
  }
}

CheckpointWriter::~CheckpointWriter() {
  if (thread_.joinable()) thread_.join();
}

// Makes the buffer at least that large; false: no memory. A larger buffer is kept.
bool CheckpointWriter::reserve(std::uint64_t bytes) {
  if (bytes <= staging_bytes_) return true;
  staging_.reset();  // before the allocation: memory may not suffice for both
  staging_bytes_ = 0;
  if (options_.free_memory && bytes > options_.free_memory()) return false;
  staging_.reset(new (std::nothrow) std::byte[bytes]);
  if (staging_) staging_bytes_ = bytes;
  return staging_ != nullptr;
}

void CheckpointWriter::snapshot(std::span<const TensorBytes> tensors) {
  staged_.assign(tensors.begin(), tensors.end());
  std::byte* to = staging_.get();
  for (TensorBytes& t : staged_) {
    if (t.constant || t.size() == 0) continue;
    const std::span<std::byte> room(to, t.size());
    if (t.download)
      t.download(0, room);
    else
      std::memcpy(to, t.bytes.data(), t.bytes.size());
    t.download = nullptr;
    t.bytes = room;
    to += room.size();
  }
}

double CheckpointWriter::save(const CheckpointFacts& facts, std::span<const TensorBytes> tensors) {
  const auto start = Clock::now();
  if (thread_.joinable()) thread_.join();
  if (reserve(snapshot_bytes(tensors))) {
    snapshot(tensors);
    const double stall = seconds_since(start);
    try {
      thread_ = std::thread([this, facts, stall] {
        SaveResult result = write(facts, staged_);
        result.stall_seconds = stall;
        finished(std::move(result));
      });
      return stall;
    } catch (const std::system_error&) {
      // no thread: the caller writes
    }
  }
  SaveResult result = write(facts, tensors);
  result.streamed = true;
  result.stall_seconds = seconds_since(start);
  finished(std::move(result));
  return seconds_since(start);
}

SaveResult CheckpointWriter::write(const CheckpointFacts& facts,
                                   std::span<const TensorBytes> tensors) const {
  const auto start = Clock::now();
  SaveResult result{.step = facts.step, .path = options_.directory / checkpoint_name(facts.step)};
  try {
    if (options_.world > 1) {
      result.shard = write_shard(options_, facts, tensors);
    } else {
      result.bytes = write_checkpoint(options_, facts, tensors);
      result.warning = tidy_checkpoints(options_, facts);
    }
  } catch (const std::exception& e) {
    result.error = e.what();
  }
  result.seconds = seconds_since(start);
  return result;
}

void CheckpointWriter::finished(SaveResult result) {
  const std::lock_guard lock(mutex_);
  finished_.push_back(std::move(result));
}

std::vector<SaveResult> CheckpointWriter::poll() {
  const std::lock_guard lock(mutex_);
  return std::exchange(finished_, {});
}

std::vector<SaveResult> CheckpointWriter::wait() {
  if (thread_.joinable()) thread_.join();
  return poll();
}

void begin_checkpoint(const CheckpointOptions& options, std::uint64_t step) {
  const fs::path temporary = temporary_of(options, step);
  fs::remove_all(temporary);
  const bool made = ::mkdir(temporary.c_str(), 0777) == 0;
  require(made, Fault::disk, temporary.string(), ": cannot make it: ", system_message(errno));
}

void drop_checkpoint(const CheckpointOptions& options, std::uint64_t step) {
  std::error_code ignored;
  fs::remove_all(temporary_of(options, step), ignored);
}

std::string write_shard(const CheckpointOptions& options, const CheckpointFacts& facts,
                        std::span<const TensorBytes> tensors) {
  require_space(options, tensors);
  return shard_text(write_parts(options, facts, tensors));
}

std::uint64_t complete_checkpoint(const CheckpointOptions& options, const CheckpointFacts& facts,
                                  std::span<const std::string> shards) {
  Manifest manifest = facts_of(options, facts);
  for (std::size_t r = 0; r < shards.size(); ++r)
    add_shard(manifest, shards[r], "shard of rank " + std::to_string(r));
  parse_manifest(to_text(manifest), "manifest of all shards");  // they cover every row
  return complete(options, manifest);
}

std::uint64_t write_checkpoint(const CheckpointOptions& options, const CheckpointFacts& facts,
                               std::span<const TensorBytes> tensors) {
  require_space(options, tensors);
  begin_checkpoint(options, facts.step);
  try {
    return complete(options, write_parts(options, facts, tensors));
  } catch (...) {
    drop_checkpoint(options, facts.step);
    throw;
  }
}

}  // namespace tern
