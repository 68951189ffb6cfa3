// A directory that appears whole or not at all: written beside its place, then renamed.
#pragma once

#include <functional>

#include "data/io/files.h"

namespace tern {

// Renames `from` to `to`, in one step where the file system can. An older `to` becomes `from`. Not
// durable before fsync_directory. Fault::disk.
void put_in_place(const std::filesystem::path& from, const std::filesystem::path& to);

// What a staged directory may replace: an empty directory, or one of its own kind.
struct Replaceable {
  std::function<bool(const std::string& name)> is_part;  // an entry that such a directory may have
  std::function<bool(const std::filesystem::path&)> is_one;  // whether a directory is one
};

class StagedDirectory {
 public:
  // Makes TARGET.tmp, after removing that of a dead process. Fault::usage if something stands at
  // target that may not be replaced, or if another process is writing there; Fault::disk.
  StagedDirectory(const std::filesystem::path& target, Replaceable replaceable);
  ~StagedDirectory();  // removes what was not published, or was replaced
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }  // where to write
  // The target becomes the directory `inside` of path(), "" for path() itself, durably; its files
  // are synced already. Fault::usage, Fault::disk.
  void publish(const std::string& inside = {});

 private:
  void require_replaceable_target() const;

  std::filesystem::path target_, path_;
  Replaceable replaceable_;
  int lock_ = -1;     // an open descriptor of path()
  bool here_ = true;  // path() is there: not published, or it holds what was replaced
};

}  // namespace tern
