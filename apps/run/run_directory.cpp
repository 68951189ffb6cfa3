#include "apps/run/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <thread>

#include "apps/console/terminal.h"
#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

std::string owner(int descriptor) {
  char text[300];
  const ssize_t n = pread(descriptor, text, sizeof text, 0);
  return n > 0 ? printable({text, std::size_t(n)}) : "another process";
}

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.resolved.toml";
constexpr const char* kLock = ".lock";
constexpr std::uint64_t kLongestConfig = 1 << 20;

// the files that --overwrite replaces; all others in a run's directory are the user's
constexpr std::array kWritten = {kConfig,     "env.json",   "earlier",     "metrics.jsonl",
                                 "train.log", "loss.png",   "checkpoints", "samples",
                                 "SAVE",      "tensorboard"};

// The files of a run that is being replaced; the same on their way there or back; the same when
// they are being deleted. A process that dies leaves one of them, and put_back sees which.
constexpr const char* kReplaced = ".replaced";
constexpr const char* kMoving = ".replaced.tmp";
constexpr const char* kDoomed = ".replaced.old";

bool has_entries(const fs::path& directory) {
  std::error_code error;
  return fs::directory_iterator(directory, error) != fs::directory_iterator() && !error;
}

// A directory that failed before its first step holds no run yet.
bool holds_run(const fs::path& path) {
  std::error_code error;
  const auto bytes = fs::file_size(path / "metrics.jsonl", error);
  return (!error && bytes > 0) || has_entries(path / "checkpoints");
}

// Into an empty directory, or one that was a run's before: never among other files.
void require_ours(const fs::path& path) {
  std::error_code error;
  require(fs::is_directory(path, error), Fault::usage, path.string(),
          ": expected a directory for the run, found a file");
  const bool ours = fs::exists(path / kConfig, error) || fs::exists(path / kLock, error);
  require(ours || !has_entries(path), Fault::usage, path.string(),
          ": expected a run or an empty directory, found other files; choose another directory");
}

// makes, and takes away, a file of one byte: permissions alone do not say what the disk will do
void require_writable(const fs::path& directory) {
  const std::string probe = directory / (".probe-" + std::to_string(getpid()));
  const int fd = open(probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool good = fd >= 0 && write(fd, "x", 1) == 1;
  const int error = errno;
  if (fd >= 0) close(fd), unlink(probe.c_str());
  require(good, Fault::disk, directory.string(), ": cannot be written to: ", system_message(error),
          "; choose a directory that you may write to");
}

void require_welcome(const fs::path& path, Existing existing, const OtherRun& other_run) {
  constexpr const char* kChoices =
      ": continue it with --resume auto, replace it with --overwrite, or choose another directory";
  if (existing == Existing::resume || existing == Existing::overwrite || !holds_run(path)) return;
  require(existing == Existing::same, Fault::usage, path.string(), " already holds a run",
          kChoices);
  std::error_code error;
  require(fs::exists(path / kConfig, error), Fault::usage, path.string(), " holds a run without ",
          kConfig, kChoices);
  const std::string difference =
      other_run(read_file(path / kConfig, kLongestConfig), (path / kConfig).string());
  require(difference.empty(), Fault::usage, path.string(), " holds a different run: ", difference,
          kChoices);
}

void delete_all(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  require(!error, Fault::disk, path.string(), ": cannot be removed: ", error.message());
}

void move_run(const fs::path& from, const fs::path& to) {
  for (const char* name : kWritten)
    if (entry_exists(from / name)) rename_entry(from / name, to / name);
}

// A run that was to be replaced, but its successor has not made a step.
void put_back(const fs::path& path) {
  delete_all(path / kDoomed);
  if (entry_exists(path / kReplaced)) {
    for (const char* name : kWritten) delete_all(path / name);
    rename_entry(path / kReplaced, path / kMoving);
  }
  if (!entry_exists(path / kMoving)) return;
  move_run(path / kMoving, path);
  delete_all(path / kMoving);
  fsync_directory(path);
}

void put_aside(const fs::path& path) {
  make_directories(path / kMoving);
  move_run(path, path / kMoving);
  fsync_directory(path / kMoving);
  rename_entry(path / kMoving, path / kReplaced);
  fsync_directory(path);
}

// the directory exists and is empty or a run's
fs::path prepared(const fs::path& path) {
  std::error_code error;
  if (fs::exists(path, error)) require_ours(path);
  make_directories(path);
  require_writable(path);
  return path;
}

}  // namespace

RunLock::RunLock(const std::filesystem::path& file) {
  descriptor_ = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  require(descriptor_ >= 0, Fault::disk, file.string(),
          ": cannot be opened for writing: ", system_message(errno));
  // Some network file systems have no locks at all; a run there must still be possible. A look at
  // the lock (run_in_use) holds it for an instant.
  int error = EWOULDBLOCK;
  for (int attempt = 0; attempt < 5 && error == EWOULDBLOCK; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    error = flock(descriptor_, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
  }
  if (error == EWOULDBLOCK) {
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

std::string noted_start(const fs::path& checkpoints) {
  constexpr std::uint64_t kLongest = 16 << 10;
  if (!entry_exists(checkpoints / kStartNote)) return "";
  std::string path = read_file(checkpoints / kStartNote, kLongest);
  while (!path.empty() && path.back() == '\n') path.pop_back();
  return path;
}

bool run_in_use(const fs::path& run) {
  const int descriptor = open((run / kLock).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return false;
  char byte;
  const bool owned = pread(descriptor, &byte, 1, 0) == 1;  // or left by one that was killed
  const bool held = owned && flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(descriptor);
  return held;
}

RunDirectory::RunDirectory(const fs::path& path, Existing existing, const OtherRun& other_run)
    : path_(prepared(path)), lock_(path_ / kLock) {
  put_back(path_);
  require_welcome(path_, existing, other_run);
  if (existing == Existing::overwrite) put_aside(path_);
  replacing_ = existing == Existing::overwrite;
  try {
    for (const fs::path& directory : {path_ / "samples", checkpoints()}) {
      make_directories(directory);
      require_writable(directory);
    }
  } catch (...) {
    if (replacing_) put_back(path_);
    throw;
  }
}

RunDirectory::~RunDirectory() {
  if (!replacing_) return;
  try {
    put_back(path_);
  } catch (const Error& e) {
    std::fprintf(stderr, "tern: the run that was to be replaced is in %s: %s\n",
                 (path_ / kReplaced).c_str(), e.what());
  }
}

void RunDirectory::keep() {
  if (!std::exchange(replacing_, false)) return;
  rename_entry(path_ / kReplaced, path_ / kDoomed);
  delete_all(path_ / kDoomed);
}

fs::path RunDirectory::now_at(const fs::path& canonical) const {
  std::error_code error;
  const fs::path inside = canonical.lexically_relative(fs::canonical(path_, error));
  if (!replacing_ || inside.empty() || *inside.begin() == "..") return canonical;
  return path_ / kReplaced / inside;
}

// env.json says when and by which command each start was: it differs from one to the next.
void RunDirectory::begin(std::string_view resolved_config, const Environment& environment) const {
  const fs::path earlier = path_ / "earlier";
  if (entry_exists(path_ / kConfig) && entry_exists(path_ / "env.json")) {
    make_directories(earlier);
    int n = 1;
    const auto numbered = [&](const char* name) {
      return earlier / (std::to_string(n) + '-' + name);
    };
    while (entry_exists(numbered("env.json"))) ++n;
    const std::string config = read_file(path_ / kConfig, kLongestConfig);
    if (config != resolved_config) write_file_atomically(numbered(kConfig), config);
    write_file_atomically(numbered("env.json"), read_file(path_ / "env.json", kLongestConfig));
  }
  write_file_atomically(path_ / kConfig, resolved_config);
  write_file_atomically(path_ / "env.json", environment_json(environment));
}

fs::path RunDirectory::sample(std::int64_t step) const {
  char name[40];
  std::snprintf(name, sizeof name, "step-%08lld.txt", static_cast<long long>(step));
  return path_ / "samples" / name;
}

void RunDirectory::drop_samples_after(std::int64_t step) const {
  std::error_code error;
  std::vector<fs::path> later;
  for (fs::directory_iterator entry(path_ / "samples", error), end; !error && entry != end;
       entry.increment(error)) {
    long long of = -1;
    if (std::sscanf(entry->path().filename().c_str(), "step-%lld.txt", &of) == 1 && of > step &&
        entry->path() == sample(of))
      later.push_back(entry->path());
  }
  for (const fs::path& path : later) {
    fs::remove(path, error);
    require(!error, Fault::disk, path.string(), ": cannot be removed: ", error.message());
  }
}

bool RunDirectory::take_save_request() const {
  return unlink((path_ / "SAVE").c_str()) == 0;
}

}  // namespace tern
