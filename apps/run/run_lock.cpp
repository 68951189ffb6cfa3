#include "apps/run/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "apps/run/printable.h"
#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

std::string owner(int descriptor) {
  char text[300];
  const ssize_t n = pread(descriptor, text, sizeof text, 0);
  return n > 0 ? printable({text, std::size_t(n)}) : "another process";
}

}  // namespace

RunLock::RunLock(const std::filesystem::path& file) {
  descriptor_ = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  require(descriptor_ >= 0, Fault::disk, file.string(),
          ": cannot be opened for writing: ", system_message(errno));
  // Some network file systems have no locks at all; a run there must still be possible.
  if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    const std::string who = owner(descriptor_);
    close(descriptor_);
    fail(Fault::usage, file.parent_path().string(), ": in use by ", who,
         "; stop it, or choose another directory");
  }
  char host[256] = "?";
  gethostname(host, sizeof host - 1);
  const std::string text = "process " + std::to_string(getpid()) + " on " + host;
  if (ftruncate(descriptor_, 0) == 0) {
    [[maybe_unused]] const auto n = pwrite(descriptor_, text.data(), text.size(), 0);
  }
}

// The file stays: removing it would let two others each lock their own.
RunLock::~RunLock() {
  if (descriptor_ < 0) return;
  [[maybe_unused]] const int ignored = ftruncate(descriptor_, 0);
  close(descriptor_);
}

}  // namespace tern
