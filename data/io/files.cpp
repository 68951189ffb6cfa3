#include "data/io/files.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "core/check.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

// Linux moves at most 0x7ffff000 bytes per call; asking for less keeps the loops portable.
constexpr std::size_t kMaxPerCall = std::size_t(1) << 30;

int open_descriptor(const fs::path& path, int flags, Fault fault, const char* purpose) {
  int descriptor;
  do descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  while (descriptor < 0 && errno == EINTR);
  if (descriptor >= 0) return descriptor;
  const int error = errno;
  require(error != ELOOP, fault, path.string(),
          ": expected a regular file, got a symbolic link (or a loop of them)");
  require(error != EMFILE, Fault::disk, path.string(), ": cannot ", purpose, ": ",
          system_message(error), ": raise the limit of this process (ulimit -n)");
  require(error != ENFILE, Fault::disk, path.string(), ": cannot ", purpose, ": ",
          system_message(error), ": fs.file-max is the limit");
  fail(fault, path.string(), ": cannot ", purpose, ": ", system_message(error));
}

void require_regular(const File& file, Fault fault) {
  struct stat status {};
  const bool known = ::fstat(file.descriptor(), &status) == 0;
  require(known && S_ISREG(status.st_mode), fault, file.path().string(),
          ": expected a regular file, got ",
          S_ISDIR(status.st_mode) ? "a directory" : "a device, pipe or socket");
}

// repeats step(bytes done, bytes wanted) until all are done, it returns 0, or it fails
template <class Step>
std::size_t repeat(std::size_t total, const fs::path& path, const char* what, Step step) {
  std::size_t done = 0;
  while (done < total) {
    const ssize_t n = step(done, std::min(total - done, kMaxPerCall));
    if (n == 0) break;
    if (n > 0) {
      done += std::size_t(n);
    } else if (errno != EINTR) {
      const int error = errno;
      fail(Fault::disk, path.string(), ": ", what, " failed after ", done, " of ", total,
           " B: ", system_message(error));
    }
  }
  return done;
}

}  // namespace

std::string system_message(int error) {
  return std::generic_category().message(error);
}

File::File(fs::path path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File File::adopt(const fs::path& name, int descriptor) {
  return File(name, descriptor);
}

// O_NONBLOCK: opening a FIFO must fail in require_regular, not wait for a writer.
File File::open(const fs::path& path, Links links) {
  const int nofollow = links == Links::refuse ? O_NOFOLLOW : 0;
  File file(path, open_descriptor(path, O_RDONLY | O_NONBLOCK | nofollow, Fault::input, "open"));
  require_regular(file, Fault::input);
  return file;
}

File File::create(const fs::path& path) {
  return File(path, open_descriptor(path, O_RDWR | O_CREAT | O_EXCL, Fault::disk, "create"));
}

File File::open_to_write(const fs::path& path) {
  File file(path, open_descriptor(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW, Fault::disk,
                                  "open for writing"));
  require_regular(file, Fault::disk);
  return file;
}

std::uint64_t File::size() const {
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  require(known, Fault::disk, path_.string(), ": cannot read the size: ", system_message(errno));
  return std::uint64_t(status.st_size);
}

FileIdentity File::identity() const {
  struct stat s {};
  if (::fstat(descriptor_, &s) != 0) return {};
  return {std::uint64_t(s.st_dev),          std::uint64_t(s.st_ino),
          std::uint64_t(s.st_size),         std::uint64_t(s.st_mtim.tv_sec),
          std::uint64_t(s.st_mtim.tv_nsec), s.st_nlink > 0};
}

// A write of 0 bytes ends the loop; the kernel does not return 0 for regular files.
void File::write_all(std::span<const std::byte> bytes) {
  repeat(bytes.size(), path_, "writing", [&](std::size_t done, std::size_t count) {
    return ::write(descriptor_, bytes.data() + done, count);
  });
}

void File::pwrite_all(std::uint64_t offset, std::span<const std::byte> bytes) {
  repeat(bytes.size(), path_, "writing", [&](std::size_t done, std::size_t count) {
    return ::pwrite(descriptor_, bytes.data() + done, count, off_t(offset + done));
  });
}

void File::resize(std::uint64_t bytes) {
  const bool resized = ::ftruncate(descriptor_, off_t(bytes)) == 0;
  require(resized, Fault::disk, path_.string(), ": cannot set the size to ", bytes,
          " B: ", system_message(errno));
}

void File::sync() {
  const bool synced = ::fsync(descriptor_) == 0;
  require(synced, Fault::disk, path_.string(), ": fsync failed: ", system_message(errno));
}

void File::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  const bool closed = descriptor < 0 || ::close(descriptor) == 0 || errno == EINTR;
  require(closed, Fault::disk, path_.string(), ": closing failed: ", system_message(errno));
}

std::size_t File::read_some(std::span<std::byte> bytes) {
  return repeat(bytes.size(), path_, "reading", [&](std::size_t done, std::size_t count) {
    return ::read(descriptor_, bytes.data() + done, count);
  });
}

void File::pread_all(std::uint64_t offset, std::span<std::byte> bytes) const {
  const std::size_t got =
      repeat(bytes.size(), path_, "reading", [&](std::size_t done, std::size_t count) {
        return ::pread(descriptor_, bytes.data() + done, count, off_t(offset + done));
      });
  require(got == bytes.size(), Fault::input, path_.string(), ": expected ", bytes.size(),
          " B at offset ", offset, ", got ", got, " B: the file is truncated");
}

void fsync_directory(const fs::path& directory) {
  const fs::path path = directory.empty() ? fs::path(".") : directory;
  const int descriptor =
      open_descriptor(path, O_RDONLY | O_DIRECTORY, Fault::disk, "open the directory");
  const bool synced = ::fsync(descriptor) == 0;
  const int error = errno;
  ::close(descriptor);
  // EINVAL: a file system without directory fsync (some FUSE mounts); it cannot do better.
  require(synced || error == EINVAL, Fault::disk, path.string(),
          ": fsync failed: ", system_message(error));
}

void write_file_atomically(const fs::path& path, const std::function<void(File&)>& write) {
  fs::path temporary = path;
  temporary += ".tmp";
  ::unlink(temporary.c_str());  // left by a dead process
  File file = File::create(temporary);
  try {
    write(file);
    file.sync();
    file.close();
    const bool renamed = ::rename(temporary.c_str(), path.c_str()) == 0;
    require(renamed, Fault::disk, path.string(), ": cannot replace: ", system_message(errno));
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  fsync_directory(path.parent_path());
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name[0] != '.' &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == name.npos;
}

std::string expand_home(const std::string& path) {
  if (!path.starts_with('~')) return path;
  require(path.size() == 1 || path[1] == '/', Fault::usage, path,
          ": the home directory of another user is not looked up: write the whole path, or ./",
          path, " for a file of that name");
  const char* home = std::getenv("HOME");
  require(home && *home, Fault::usage, path, ": HOME is not set: write the whole path");
  return home + path.substr(1);
}

void make_directories(const fs::path& directory) {
  std::error_code error;
  if (directory.empty() || fs::is_directory(directory, error)) return;
  const fs::path parent = directory.parent_path();
  make_directories(parent);
  const bool made = ::mkdir(directory.c_str(), 0777) == 0;
  const int reason = errno;
  const bool there = !made && reason == EEXIST && fs::is_directory(directory, error);
  require(made || there || directory.filename().empty(), Fault::disk, directory.string(),
          ": cannot be created: ", system_message(reason),
          "; choose a directory that you may write to");
  if (made) fsync_directory(parent);
}

Error as_error(const fs::filesystem_error& error) {
  const int reason = error.code().value();
  const bool disk = reason == ENOSPC || reason == EDQUOT || reason == EROFS || reason == EIO;
  return Error(disk ? Fault::disk : Fault::input,
               error.path1().string() + ": " + error.code().message());
}

void write_file_atomically(const fs::path& path, std::string_view content) {
  write_file_atomically(path,
                        [&](File& file) { file.write_all(std::as_bytes(std::span(content))); });
}

void write_new_file(const fs::path& path, std::string_view content) {
  File file = File::create(path);
  file.write_all(std::as_bytes(std::span(content)));
  file.sync();
  file.close();
}

bool path_exists(const fs::path& path, Fault fault) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) return true;
  const int error = errno;
  require(error == ENOENT || error == ENOTDIR, fault, path.string(), ": ", system_message(error));
  return false;
}

bool entry_exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

void rename_entry(const fs::path& from, const fs::path& to) {
  const bool renamed = ::rename(from.c_str(), to.c_str()) == 0;
  require(renamed, Fault::disk, from.string(), ": cannot rename to ", to.string(), ": ",
          system_message(errno));
}

void require_replaceable(const fs::path& path) {
  struct stat status {};
  require(::stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode), Fault::disk,
          path.string(), ": cannot replace: it is a directory");
  fs::path temporary = path;
  temporary += ".tmp";
  ::unlink(temporary.c_str());
  File::create(temporary);
  ::unlink(temporary.c_str());
}

std::string read_file(const fs::path& path, std::uint64_t max_bytes, Links links) {
  const File file = File::open(path, links);
  const std::uint64_t size = file.size();
  require(size <= max_bytes, Fault::input, path.string(), ": expected at most ", max_bytes,
          " B, got ", size, " B");
  std::string content(size, '\0');
  file.pread_all(0, std::as_writable_bytes(std::span(content)));
  return content;
}

std::size_t FileCache::usual_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
  return std::size_t(std::clamp<rlim_t>(limit.rlim_cur / 4, 1, 1024));
}

std::shared_ptr<const File> FileCache::open(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  if (const auto known = by_path_.find(path.string()); known != by_path_.end()) {
    files_.splice(files_.begin(), files_, known->second);
    return files_.front();
  }
  if (files_.size() >= most_) {
    by_path_.erase(files_.back()->path().string());
    files_.pop_back();
  }
  files_.push_front(std::make_shared<const File>(File::open(path)));
  by_path_[path.string()] = files_.begin();
  return files_.front();
}

void FileCache::forget(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  const auto known = by_path_.find(path.string());
  if (known == by_path_.end()) return;
  files_.erase(known->second);
  by_path_.erase(known);
}

}  // namespace tern
