#include "data/checkpoint/writer.h"

#include <unistd.h>

#include <chrono>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

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

}  // namespace

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
  if (options_.rank > 0) return;  // the first sees to the directory
  try {
    prepare(options_.directory);
  } catch (const fs::filesystem_error& e) {
    fail(Fault::disk, options_.directory.string(), ": not usable for checkpoints: ", e.what());
  }
}

CheckpointWriter::~CheckpointWriter() {
  if (thread_.joinable()) thread_.join();
}

// Whether there is a buffer of that size: the pages of one that is there have been paid for.
bool CheckpointWriter::reserve(std::uint64_t bytes) {
  if (bytes <= staging_bytes_) return true;
  staging_.reset();  // before the new one: there may not be memory for both
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
      // no thread: this one writes
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

}  // namespace tern
