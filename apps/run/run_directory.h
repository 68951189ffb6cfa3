// The directory of a run, made or opened, locked and proved writable before the first step:
//   config.resolved.toml env.json earlier/ metrics.jsonl train.log loss.png samples/ checkpoints/
// and, if asked for, tensorboard/
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <utility>

#include "apps/system/environment.h"

namespace tern {

// A run that began with a checkpoint elsewhere has its path in checkpoints/start; "" if there is
// none.
inline constexpr const char* kStartNote = "start";
std::string noted_start(const std::filesystem::path& checkpoints);

// Whether a process holds the lock of this run's directory.
bool run_in_use(const std::filesystem::path& run);

class RunLock {
 public:
  // Fault::usage, naming the owner, when another process holds it; Fault::disk
  explicit RunLock(const std::filesystem::path& file);
  ~RunLock();
  RunLock(RunLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  RunLock& operator=(RunLock&&) = delete;

 private:
  int descriptor_ = -1;
};

// Action when the directory already holds a run.
enum class Existing {
  refuse,     // --resume none: a new run needs a new directory
  same,       // neither --resume nor --overwrite: continue, if it is the same run
  resume,     // --resume: continue; the checkpoint decides which keys may differ
  overwrite,  // --overwrite: put that run's files aside
};

// What makes the run of the config.resolved.toml that it is given, and its path, another one; "" if
// nothing does.
using OtherRun = std::function<std::string(const std::string& saved, const std::string& where)>;

class RunDirectory {
 public:
  // Fault::usage: in use by another process, holds another run, or holds files that are no run's.
  // Fault::disk: cannot be made or written to. An existing run stays as it is; one that is to be
  // overwritten lies in .replaced/ until keep(), and is put back if that is not reached: by the
  // destructor or, after a crash, by whatever opens the directory next.
  RunDirectory(const std::filesystem::path& path, Existing existing, const OtherRun& other_run);
  RunDirectory(RunDirectory&& other) noexcept
      : path_(std::move(other.path_)),
        lock_(std::move(other.lock_)),
        replacing_(std::exchange(other.replacing_, false)) {}
  ~RunDirectory();

  // Writes config.resolved.toml and env.json; those of the last start go to earlier/ with a number.
  // Once nothing can be wrong any more, the checkpoint to resume from included: a failed attempt
  // must not change what the run is. Fault::disk.
  void begin(std::string_view resolved_config, const Environment& environment) const;

  // The new run stands: deletes the one that it replaces, if there is one. Fault::disk.
  void keep();
  // Where a file or directory is now that lay there before this one was opened: it may belong to
  // the run that is being replaced. An absolute path without links.
  std::filesystem::path now_at(const std::filesystem::path& canonical) const;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path log() const { return path_ / "train.log"; }
  std::filesystem::path tensorboard() const { return path_ / "tensorboard"; }
  std::filesystem::path picture() const { return path_ / "loss.png"; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path sample(std::int64_t step) const;  // samples/step-00001000.txt

  void drop_samples_after(std::int64_t step) const;  // Fault::disk

  // True once after a file called SAVE was made here, the request for a checkpoint. Removes the
  // file.
  bool take_save_request() const;

 private:
  std::filesystem::path path_;
  RunLock lock_;
  bool replacing_ = false;
};

}  // namespace tern
