#include "data/checkpoint_directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "core/check.h"
#include "data/files.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "step-", kTemporary = ".tmp";

void rename_or_fail(const fs::path& from, const fs::path& to) {
  const bool renamed = ::rename(from.c_str(), to.c_str()) == 0;
  require(renamed, Fault::disk, from.string(), ": cannot rename to ", to.string(), ": ",
          system_message(errno));
}

// Afterwards `to` is what `from` was, and what `to` was, if anything, is in `from`.
void put_in_place(const fs::path& from, const fs::path& to) {
  if (!fs::exists(fs::symlink_status(to))) return rename_or_fail(from, to);
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) return;
  // not on every file system (NFS): two renames, between which the old one has a .tmp name
  const fs::path aside = to.string() + ".old.tmp";
  rename_or_fail(to, aside);
  try {
    rename_or_fail(from, to);
  } catch (...) {
    ::rename(aside.c_str(), to.c_str());
    throw;
  }
  rename_or_fail(aside, from);
}

// Renamed first: a checkpoint that is half deleted when the process dies must not look like one.
void remove_checkpoint(const fs::path& path) {
  const fs::path doomed = path.string() + std::string(kTemporary);
  fs::remove_all(doomed);
  rename_or_fail(path, doomed);
  fs::remove_all(doomed);
}

}  // namespace

std::string checkpoint_name(std::uint64_t step) {
  const std::string digits = std::to_string(step);
  return std::string(kPrefix) + std::string(digits.size() < 8 ? 8 - digits.size() : 0, '0') +
         digits;
}

std::optional<std::uint64_t> checkpoint_step(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::uint64_t step = 0;
  const auto [end, error] =
      std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), step);
  if (error != std::errc() || checkpoint_name(step) != name) return std::nullopt;
  return step;
}

std::vector<std::uint64_t> checkpoint_steps(const fs::path& directory) {
  std::vector<std::uint64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error))
    if (const auto step = checkpoint_step(entry.path().filename().string());
        step && fs::is_directory(entry.symlink_status()))
      steps.push_back(*step);
  std::sort(steps.begin(), steps.end());
  return steps;
}

void remove_leftovers(const fs::path& directory) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if ((name.starts_with(kPrefix) && name.ends_with(kTemporary)) || name == "latest.tmp")
      fs::remove_all(entry.path());
  }
}

void publish_checkpoint(const fs::path& directory, const std::string& name) {
  const fs::path temporary = directory / (name + std::string(kTemporary));
  put_in_place(temporary, directory / name);
  fsync_directory(directory);
  fs::remove_all(temporary);  // an older checkpoint of the same step
}

void note_latest(const fs::path& directory, const std::string& name) {
  write_file_atomically(directory / "latest", name + "\n");
}

void prune_checkpoints(const fs::path& directory, std::uint64_t newest,
                       const Retention& retention) {
  std::vector<std::uint64_t> older = checkpoint_steps(directory);
  std::erase_if(older, [&](std::uint64_t step) { return step >= newest; });
  const std::size_t keep = std::max<std::uint64_t>(retention.keep_last, 1) - 1;
  if (older.size() <= keep) return;
  older.resize(older.size() - keep);
  for (const std::uint64_t step : older)
    if (retention.keep_every == 0 || step % retention.keep_every != 0)
      remove_checkpoint(directory / checkpoint_name(step));
}

}  // namespace tern
