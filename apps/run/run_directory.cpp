#include "apps/run/run_directory.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <sstream>
#include <vector>

#include "core/check.h"
#include "data/files.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.resolved.toml";
constexpr const char* kLock = ".lock";
constexpr std::uint64_t kLongestConfig = 1 << 20;

// what --overwrite removes; anything else in a run's directory is the user's
constexpr std::array kWritten = {kConfig,    "env.json",    "metrics.jsonl", "train.log",
                                 "loss.png", "checkpoints", "samples",       "SAVE"};

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

// Into an empty directory, or one that was a run's before: never between somebody's other files.
void require_ours(const fs::path& path) {
  std::error_code error;
  require(fs::is_directory(path, error), Fault::usage, path.string(),
          ": expected a directory for the run, found a file");
  const bool ours = fs::exists(path / kConfig, error) || fs::exists(path / kLock, error);
  require(ours || !has_entries(path), Fault::usage, path.string(),
          ": expected a run or an empty directory, found other files; choose another directory");
}

void make(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  require(!error, Fault::disk, directory.string(), ": cannot be created: ", error.message(),
          "; choose a directory that you may write to");
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

// "line 3: was lr = 1, is lr = 2", or nothing if the texts are the same
std::string first_difference(std::string_view before, std::string_view now) {
  std::istringstream a{std::string(before)}, b{std::string(now)};
  for (int line = 1;; ++line) {
    std::string was, is;
    const bool more_a = bool(std::getline(a, was)), more_b = bool(std::getline(b, is));
    if (!more_a && !more_b) return {};
    if (was != is || more_a != more_b)
      return "line " + std::to_string(line) + " was `" + was + "`, is `" + is + "`";
  }
}

void require_welcome(const fs::path& path, Existing existing, std::string_view config) {
  constexpr const char* kChoices =
      ": continue it with --resume auto, replace it with --overwrite, or choose another directory";
  if (existing == Existing::resume || existing == Existing::overwrite || !holds_run(path)) return;
  require(existing == Existing::same, Fault::usage, path.string(), " already holds a run",
          kChoices);
  std::error_code error;
  require(fs::exists(path / kConfig, error), Fault::usage, path.string(), " holds a run without ",
          kConfig, kChoices);
  const std::string difference =
      first_difference(read_file(path / kConfig, kLongestConfig), config);
  require(difference.empty(), Fault::usage, path.string(), " holds a different run (", kConfig, ' ',
          difference, ')', kChoices);
}

void remove_run(const fs::path& path) {
  for (const char* name : kWritten) {
    std::error_code error;
    fs::remove_all(path / name, error);
    require(!error, Fault::disk, (path / name).string(), ": cannot be removed: ", error.message());
  }
}

// the directory exists and is empty or a run's
fs::path prepared(const fs::path& path) {
  std::error_code error;
  if (fs::exists(path, error)) require_ours(path);
  make(path);
  require_writable(path);
  return path;
}

}  // namespace

RunDirectory::RunDirectory(const fs::path& path, Existing existing,
                           std::string_view resolved_config)
    : path_(prepared(path)), lock_(path_ / kLock) {
  require_welcome(path_, existing, resolved_config);
  if (existing == Existing::overwrite) remove_run(path_);
  for (const fs::path& directory : {path_ / "samples", checkpoints()}) {
    make(directory);
    require_writable(directory);
  }
}

void RunDirectory::begin(std::string_view resolved_config, const Environment& environment) const {
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
