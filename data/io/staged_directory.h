// A directory that appears whole or not at all: written beside its place, then renamed.
#pragma once

#include <functional>

#include "data/io/files.h"

namespace tern {

// Renames `from` to `to`, in one step where the file system can. An older `to` becomes `from`. Not
// durable before fsync_directory. Fault::disk.
void put_in_place(const std::filesystem::path& from, const std::filesystem::path& to);

class StagedDirectory {
 public:
  // Makes TARGET.tmp, after removing that of a dead process. What stands at target now may be a
  // directory, every entry of which `ours` knows: it will be replaced. Fault::usage if it holds
  // anything else, or if another process is writing there; Fault::disk.
  StagedDirectory(const std::filesystem::path& target,
                  const std::function<bool(const std::string& entry)>& ours);
  ~StagedDirectory();  // removes what was not published
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }  // where to write
  // The target becomes the directory `inside` of path(), "" for path() itself, durably; its files
  // are synced already. Fault::disk.
  void publish(const std::string& inside = {});

 private:
  std::filesystem::path target_, path_;
  int lock_ = -1;     // an open descriptor of path()
  bool here_ = true;  // path() is there: not published, or it holds what was replaced
};

}  // namespace tern
