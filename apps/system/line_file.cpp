#include "apps/system/line_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

// bytes up to and with the last newline; -1 if they cannot be read
off_t end_of_last_line(int descriptor, off_t size) {
  char block[4096];
  for (off_t end = size; end > 0;) {
    const off_t begin = std::max<off_t>(0, end - off_t(sizeof block));
    const ssize_t n = pread(descriptor, block, std::size_t(end - begin), begin);
    if (n != end - begin) return -1;
    for (off_t i = n; i > 0; --i)
      if (block[i - 1] == '\n') return begin + i;
    end = begin;
  }
  return 0;
}

}  // namespace

LineFile::LineFile(const std::filesystem::path& path) : path_(path) {
  descriptor_ = open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  require(descriptor_ >= 0, Fault::disk, path.string(),
          ": cannot be opened for writing: ", system_message(errno));
  struct stat about {};
  const bool regular = fstat(descriptor_, &about) == 0 && S_ISREG(about.st_mode);
  if (!regular) ::close(std::exchange(descriptor_, -1));
  require(regular, Fault::disk, path.string(), ": expected a regular file; remove it");
  cut_unfinished_line();
}

LineFile::~LineFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

LineFile::LineFile(LineFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      torn_(other.torn_),
      problem_(std::move(other.problem_)) {}

LineFile& LineFile::operator=(LineFile&& other) noexcept {
  path_.swap(other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(torn_, other.torn_);
  problem_.swap(other.problem_);
  return *this;
}

void LineFile::cut_unfinished_line() {
  struct stat about {};
  const off_t size = fstat(descriptor_, &about) == 0 ? about.st_size : 0;
  const off_t whole = end_of_last_line(descriptor_, size);
  torn_ = whole < 0 || (whole < size && ftruncate(descriptor_, whole) != 0);
}

bool LineFile::append(std::string_view lines) {
  if (torn_) cut_unfinished_line();
  if (torn_) return false;
  struct stat before {};
  if (fstat(descriptor_, &before) != 0) return false;
  std::string text(lines);
  if (text.empty() || text.back() != '\n') text += '\n';
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = write(descriptor_, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      problem_ = system_message(errno);
      torn_ = done > 0 && ftruncate(descriptor_, before.st_size) != 0;
      return false;
    }
    done += std::size_t(n);
  }
  problem_.clear();
  return true;
}

}  // namespace tern
