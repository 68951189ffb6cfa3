#include "data/io/mapped_file.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

namespace tern {

// Part of a list that the handler walks: nothing is ever removed, and a range that is not mapped
// any more is empty and used again. `line` changes only while the range is empty.
struct MappedFile::Range {
  std::atomic<std::uintptr_t> begin{0}, end{0};  // end 0: empty
  std::string line;
  bool used = true;  // under the mutex
  Range* next = nullptr;

  static inline std::mutex mutex;
  static inline std::atomic<Range*> first{nullptr};
  static inline struct sigaction before {};

  static Range* add(const std::filesystem::path& path, std::span<const std::byte> bytes);
  static void handle(int signal, siginfo_t* info, void* context);
};

// Only what is safe in a handler: no memory is taken, nothing is locked.
void MappedFile::Range::handle(int, siginfo_t* info, void*) {
  static std::atomic_flag said = ATOMIC_FLAG_INIT;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  const bool fault = info->si_code > 0;  // of an access, not sent by kill()
  for (const Range* r = first; fault && r; r = r->next)
    if (address >= r->begin && address < r->end) {
      while (said.test_and_set()) ::pause();  // another thread says it and ends the process
      [[maybe_unused]] const ssize_t written =
          ::write(STDERR_FILENO, r->line.data(), r->line.size());
      ::_exit(int(Fault::input));
    }
  ::sigaction(SIGBUS, &before, nullptr);
  if (!fault) ::raise(SIGBUS);  // else the access is repeated
}

MappedFile::Range* MappedFile::Range::add(const std::filesystem::path& path,
                                          std::span<const std::byte> bytes) {
  const std::lock_guard lock(mutex);
  if (!first) {
    struct sigaction action {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO;
    ::sigaction(SIGBUS, &action, &before);
  }
  Range* range = first;
  while (range && range->used) range = range->next;
  if (!range) {
    range = new Range;
    range->next = first;
    first = range;
  }
  range->used = true;
  range->line = "tern: error: " + path.string() + ": expected " + std::to_string(bytes.size()) +
                " B, as it was opened, some cannot be read any more: it was truncated, or its disk "
                "fails: write the file anew, and replace files in use by renaming\n";
  range->begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  range->end = range->begin + bytes.size();  // last: a range without an end is empty
  return range;
}

MappedFile::MappedFile(const std::filesystem::path& path, std::span<const std::byte> bytes)
    : bytes_(bytes), range_(Range::add(path, bytes)) {}

std::shared_ptr<const MappedFile> MappedFile::map(const File& file) {
  const std::uint64_t size = file.size();
  void* const at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.descriptor(), 0);
  require(at != MAP_FAILED, Fault::disk, file.path().string(), ": cannot map ", size,
          " B: ", system_message(errno));
  ::madvise(at, size, MADV_HUGEPAGE);  // read from disk in large pages, which are faster to use
  return std::shared_ptr<const MappedFile>(
      new MappedFile(file.path(), {static_cast<const std::byte*>(at), size}));
}

MappedFile::~MappedFile() {
  const std::lock_guard lock(Range::mutex);
  range_->end = 0;
  range_->used = false;
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace tern
