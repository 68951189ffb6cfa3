#include "data/checkpoint/directory.h"

#include <algorithm>
#include <charconv>

#include "core/check.h"
#include "data/io/staged_directory.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "step-", kTemporary = ".tmp", kSuperseded = ".superseded";

// Renamed first: a checkpoint that is half deleted when the process dies must not look like one.
void remove_checkpoint(const fs::path& path) {
  const fs::path doomed = path.string() + std::string(kTemporary);
  fs::remove_all(doomed);
  rename_entry(path, doomed);
  fs::remove_all(doomed);
}

void note(const fs::path& file, const std::string& name) {
  if (!name.empty()) return write_file_atomically(file, name + "\n");
  std::error_code error;
  fs::remove(file, error);
  require(!error, Fault::disk, file.string(), ": cannot be removed: ", error.message());
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error))
    names.push_back(entry->path().filename().string());
  const bool read = !error || error == std::errc::no_such_file_or_directory ||
                    error == std::errc::not_a_directory;
  require(read, Fault::input, directory.string(), ": cannot be read: ", error.message());
  return names;
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

std::vector<std::uint64_t> checkpoint_entries(const fs::path& directory) {
  std::vector<std::uint64_t> steps;
  for (const std::string& name : names_in(directory))
    if (const auto step = checkpoint_step(name)) steps.push_back(*step);
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::vector<std::uint64_t> checkpoint_steps(const fs::path& directory) {
  std::vector<std::uint64_t> steps = checkpoint_entries(directory);
  std::erase_if(steps, [&](std::uint64_t step) {
    std::error_code error;
    return !fs::is_directory(fs::symlink_status(directory / checkpoint_name(step), error));
  });
  return steps;
}

std::vector<std::string> set_aside(const fs::path& directory) {
  std::vector<std::string> out;
  for (const std::string& name : names_in(directory))
    if (checkpoint_step(name.substr(0, name.find(kSuperseded))) && !checkpoint_step(name))
      if (name.find(kSuperseded) != name.npos) out.push_back(name);
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::string> set_aside_after(const fs::path& directory,
                                         std::optional<std::uint64_t> last) {
  std::vector<std::uint64_t> later = checkpoint_entries(directory);
  std::erase_if(later, [&](std::uint64_t step) { return last && step <= *last; });
  std::vector<std::string> names;
  for (auto step = later.rbegin(); step != later.rend(); ++step) {
    const std::string plain = checkpoint_name(*step) + std::string(kSuperseded);
    std::string name = plain;
    for (int i = 2; entry_exists(directory / name); ++i) name = plain + "-" + std::to_string(i);
    rename_entry(directory / checkpoint_name(*step), directory / name);
    names.insert(names.begin(), name);
  }
  if (!names.empty()) fsync_directory(directory);
  return names;
}

void remove_leftovers(const fs::path& directory) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if ((name.starts_with(kPrefix) && name.ends_with(kTemporary)) || name == "latest.tmp" ||
        name == "best.tmp")
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
  note(directory / "latest", name);
}

void note_best(const fs::path& directory, const std::string& name) {
  note(directory / "best", name);
}

fs::path named_checkpoint(const fs::path& path) {
  const fs::path file = path.filename();
  std::error_code error;
  if ((file != "latest" && file != "best") || !fs::is_regular_file(path, error)) return path;
  constexpr std::uint64_t kLongest = 4096;
  std::string name = read_file(path, kLongest, Links::follow);
  while (!name.empty() && (name.back() == '\n' || name.back() == '\r')) name.pop_back();
  require(checkpoint_step(name).has_value(), Fault::input, path.string(),
          ": expected the name of a checkpoint in it, like ", checkpoint_name(1000), ", got \"",
          name, '"');
  return path.parent_path() / name;
}

void prune_checkpoints(const fs::path& directory, std::uint64_t newest,
                       const Retention& retention) {
  std::vector<std::uint64_t> older = checkpoint_steps(directory);
  std::erase_if(older, [&](std::uint64_t step) { return step >= newest; });
  const std::size_t keep = std::max<std::uint64_t>(retention.keep_last, 1) - 1;
  if (older.size() <= keep) return;
  older.resize(older.size() - keep);
  for (const std::uint64_t step : older)
    if (step != retention.best && step != retention.fixed &&
        (retention.keep_every == 0 || step % retention.keep_every != 0))
      remove_checkpoint(directory / checkpoint_name(step));
}

}  // namespace tern
