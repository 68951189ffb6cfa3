#include "data/checkpoint_writer.h"

#include <unistd.h>

#include <chrono>
#include <cstring>
#include <system_error>
#include <utility>

#include "core/check.h"
#include "data/files.h"

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

void CheckpointWriter::snapshot(std::span<const TensorBytes> tensors) {
  std::size_t bytes = 0;
  for (const TensorBytes& t : tensors) bytes += t.bytes.size();
  if (bytes > staging_bytes_) {
    staging_.reset();  // before the new one: there may not be memory for both
    staging_bytes_ = 0;
    staging_ = std::make_unique_for_overwrite<std::byte[]>(bytes);
    staging_bytes_ = bytes;
  }
  staged_.assign(tensors.begin(), tensors.end());
  std::byte* to = staging_.get();
  for (TensorBytes& t : staged_) {
    if (!t.bytes.empty()) std::memcpy(to, t.bytes.data(), t.bytes.size());
    t.bytes = {to, t.bytes.size()};
    to += t.bytes.size();
  }
}

double CheckpointWriter::save(const CheckpointFacts& facts, std::span<const TensorBytes> tensors) {
  const auto start = Clock::now();
  if (thread_.joinable()) thread_.join();
  try {
    snapshot(tensors);
    const double stall = seconds_since(start);
    try {
      thread_ = std::thread([this, facts, stall] { run(facts, stall); });
    } catch (const std::system_error&) {  // the system allows no more threads: training waits
      run(facts, seconds_since(start));
    }
  } catch (const std::exception& e) {  // no memory for the copy
    const std::lock_guard lock(mutex_);
    finished_.push_back({.step = facts.step, .error = std::string("snapshot: ") + e.what()});
  }
  return seconds_since(start);
}

void CheckpointWriter::run(const CheckpointFacts& facts, double stall_seconds) {
  const auto start = Clock::now();
  SaveResult result{.step = facts.step, .stall_seconds = stall_seconds};
  result.path = options_.directory / checkpoint_name(facts.step);
  try {
    if (options_.world > 1) {
      result.shard = write_shard(options_, facts, staged_);
    } else {
      result.bytes = write_checkpoint(options_, facts, staged_);
      result.warning = tidy_checkpoints(options_, facts);
    }
  } catch (const std::exception& e) {
    result.error = e.what();
  }
  result.seconds = seconds_since(start);
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
