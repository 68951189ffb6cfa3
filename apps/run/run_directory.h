// The directory of a run, made or opened, locked and proved writable before the first step:
//   config.resolved.toml env.json metrics.jsonl train.log loss.png samples/ checkpoints/
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "apps/run/environment.h"
#include "apps/run/run_lock.h"

namespace tern {

// What to do when the directory already holds a run.
enum class Existing {
  refuse,     // --resume none: a new run needs a new directory
  same,       // neither --resume nor --overwrite: go on, if the resolved configuration is the same
  resume,     // --resume: go on; the checkpoint decides what may differ
  overwrite,  // --overwrite: delete that run's files first
};

class RunDirectory {
 public:
  // Fault::usage: in use by another process, holds another run, or holds files that are no run's.
  // Fault::disk: cannot be made or written to. An existing run stays as it is unless overwritten.
  RunDirectory(const std::filesystem::path& path, Existing existing,
               std::string_view resolved_config);

  // Writes config.resolved.toml and env.json. Once nothing can be wrong any more, the checkpoint to
  // resume from included: a failed attempt must not change what the run is. Fault::disk.
  void begin(std::string_view resolved_config, const Environment& environment) const;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path log() const { return path_ / "train.log"; }
  std::filesystem::path picture() const { return path_ / "loss.png"; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path sample(std::int64_t step) const;  // samples/step-00001000.txt

  void drop_samples_after(std::int64_t step) const;  // Fault::disk

  // True once after someone made a file called SAVE here: a checkpoint is wanted. Takes it away.
  bool take_save_request() const;

 private:
  std::filesystem::path path_;
  RunLock lock_;
};

}  // namespace tern
