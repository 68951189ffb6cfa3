// The directory that holds the checkpoints of a run: step-00001000/ ..., and `latest` and `best`,
// text files that name one of them. A name that ends in .tmp is not a checkpoint;
// step-00001000.superseded belongs to an abandoned course of the run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tern {

std::string checkpoint_name(std::uint64_t step);                        // "step-00001000"
std::optional<std::uint64_t> checkpoint_step(const std::string& name);  // the inverse

// Steps with a directory of that name (symbolic links are none), ascending; none if directory is
// not there. Fault::input if it cannot be read.
std::vector<std::uint64_t> checkpoint_steps(const std::filesystem::path& directory);
// Steps with anything of that name: links and files too. Errors as checkpoint_steps().
std::vector<std::uint64_t> checkpoint_entries(const std::filesystem::path& directory);

// Renames all that is beyond step `last` (nullopt: every step) to step-N.superseded, or
// step-N.superseded-2, ... if that is taken. Newest first: after a kill the rest is still the
// beginning of one course. The new names, ascending by step. Fault::disk.
std::vector<std::string> set_aside_after(const std::filesystem::path& directory,
                                         std::optional<std::uint64_t> last);
// Names of checkpoints that were set aside, in alphabetical order. Errors as checkpoint_steps().
std::vector<std::string> set_aside(const std::filesystem::path& directory);

// Deletes step-*.tmp, latest.tmp and best.tmp of dead processes. Only the process that writes
// checkpoints may call it.
void remove_leftovers(const std::filesystem::path& directory);

// Renames NAME.tmp, complete and synced, to the checkpoint NAME, durably. Replaces an older one of
// that name. Fault::disk.
void publish_checkpoint(const std::filesystem::path& directory, const std::string& name);

// Writes name into the file `latest` or `best`; an empty name removes the file. Fault::disk.
void note_latest(const std::filesystem::path& directory, const std::string& name);
void note_best(const std::filesystem::path& directory, const std::string& name);
// A path as given, or the checkpoint that it names if it is a file called `latest` or `best`.
// Fault::input if such a file names none.
std::filesystem::path named_checkpoint(const std::filesystem::path& path);

// Checkpoints to keep beside the newest.
struct Retention {
  std::uint64_t keep_last = 3;           // that many in all, at least 1
  std::uint64_t keep_every = 0;          // and every step that is a multiple of it; 0: none
  std::optional<std::uint64_t> best{};   // and this step
  std::optional<std::uint64_t> fixed{};  // and this one
};

// Deletes the checkpoints before `newest`, which is known to be good, that retention does not keep.
// Later ones stay.
void prune_checkpoints(const std::filesystem::path& directory, std::uint64_t newest,
                       const Retention& retention);

}  // namespace tern
