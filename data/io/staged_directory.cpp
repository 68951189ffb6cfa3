#include "data/io/staged_directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace tern {
namespace fs = std::filesystem;
namespace {

// "" also for "folder/"
fs::path without_slash(const fs::path& path) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();
}

void require_ours(const fs::path& target, const std::function<bool(const std::string&)>& ours) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(target, error);
  if (!fs::exists(status)) return;
  require(fs::is_directory(status), Fault::usage, target.string(),
          ": expected a new path or a folder, got something else");
  for (fs::directory_iterator entry(target, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    require(ours(name), Fault::usage, target.string(), ": holds ", name,
            ", which is not part of what would replace it: choose a new folder, or move that file");
  }
  require(!error, Fault::disk, target.string(), ": cannot be read: ", error.message());
}

}  // namespace

void put_in_place(const fs::path& from, const fs::path& to) {
  if (!entry_exists(to)) return rename_entry(from, to);
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) return;
  // not on every file system (NFS): two renames, between which the old one has a .tmp name
  const fs::path aside = to.string() + ".old.tmp";
  rename_entry(to, aside);
  try {
    rename_entry(from, to);
  } catch (...) {
    ::rename(aside.c_str(), to.c_str());
    throw;
  }
  rename_entry(aside, from);
}

StagedDirectory::StagedDirectory(const fs::path& target,
                                 const std::function<bool(const std::string&)>& ours)
    : target_(without_slash(target)), path_(target_.string() + ".tmp") {
  require_ours(target_, ours);
  make_directories(target_.parent_path());
  const bool made = ::mkdir(path_.c_str(), 0777) == 0;
  require(made || errno == EEXIST, Fault::disk, path_.string(),
          ": cannot make this folder: ", system_message(errno));
  lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  require(lock_ >= 0, Fault::disk, path_.string(),
          ": cannot open this folder: ", system_message(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    fail(Fault::usage, target_.string(), ": another process is writing ", path_.string());
  }
  if (made) return;
  try {
    require_ours(path_, ours);  // what a dead process left
    for (const auto& entry : fs::directory_iterator(path_)) fs::remove_all(entry.path());
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

StagedDirectory::~StagedDirectory() {
  std::error_code ignored;
  if (here_) fs::remove_all(path_, ignored);
  ::close(lock_);
}

void StagedDirectory::publish(const std::string& inside) {
  const fs::path from = inside.empty() ? path_ : path_ / inside;
  fsync_directory(from);
  here_ = !inside.empty() || entry_exists(target_);
  put_in_place(from, target_);
  fsync_directory(target_.parent_path());
}

}  // namespace tern
