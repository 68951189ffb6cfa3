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

constexpr const char* kAside = ".old.tmp";  // of what is replaced, between two renames

void require_parts(const fs::path& directory, const Replaceable& replaceable) {
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    require(replaceable.is_part(name), Fault::usage, directory.string(), ": holds ", name,
            ", which is not part of what would replace it: choose a new folder, or move that file");
  }
  require(!error, Fault::disk, directory.string(), ": cannot be read: ", error.message());
}

// Whether the path still names the directory that the descriptor is of.
bool same_directory(int descriptor, const fs::path& path) {
  struct stat opened {
  }, named{};
  return ::fstat(descriptor, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

void put_in_place(const fs::path& from, const fs::path& to) {
  if (!entry_exists(to)) return rename_entry(from, to);
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) return;
  // not on every file system (NFS): two renames, between which the old one has a .tmp name
  const fs::path aside = to.string() + kAside;
  rename_entry(to, aside);
  try {
    rename_entry(from, to);
  } catch (...) {
    ::rename(aside.c_str(), to.c_str());
    throw;
  }
  rename_entry(aside, from);
}

void StagedDirectory::require_replaceable_target() const {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(target_, error);
  if (!fs::exists(status)) return;
  require(fs::is_directory(status), Fault::usage, target_.string(),
          ": expected a new path or a folder, got something else");
  require_parts(target_, replaceable_);
  require(fs::is_empty(target_, error) || replaceable_.is_one(target_), Fault::usage,
          target_.string(), ": is there, and was not written by this command: choose a new folder");
}

StagedDirectory::StagedDirectory(const fs::path& target, Replaceable replaceable)
    : target_(without_slash(target)),
      path_(target_.string() + ".tmp"),
      replaceable_(std::move(replaceable)) {
  make_directories(target_.parent_path());
  const fs::path aside = target_.string() + kAside;
  if (!entry_exists(target_) && entry_exists(aside)) rename_entry(aside, target_);
  require_replaceable_target();
  const bool made = ::mkdir(path_.c_str(), 0777) == 0;
  require(made || errno == EEXIST, Fault::disk, path_.string(),
          ": cannot make this folder: ", system_message(errno));
  lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  require(lock_ >= 0, Fault::disk, path_.string(),
          ": cannot open this folder: ", system_message(errno));
  try {
    require(::flock(lock_, LOCK_EX | LOCK_NB) == 0 && same_directory(lock_, path_), Fault::usage,
            target_.string(), ": another process is writing ", path_.string());
    for (const fs::path& left : {path_, aside}) {  // by a dead process
      if ((made && left == path_) || !entry_exists(left)) continue;
      require_parts(left, replaceable_);
      std::error_code error;
      for (const auto& entry : fs::directory_iterator(left, error)) fs::remove_all(entry.path());
    }
    std::error_code ignored;
    fs::remove(aside, ignored);
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
  require_replaceable_target();  // again: minutes may have passed
  const bool exchanged = entry_exists(target_);
  put_in_place(from, target_);
  here_ = exchanged || !inside.empty();
  fsync_directory(target_.parent_path());
}

}  // namespace tern
