// The directory that holds the checkpoints of a run: step-00001000/ ..., and `latest`, a text file
// with the name of the last one. What ends in .tmp is not a checkpoint and never becomes one by
// itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tern {

std::string checkpoint_name(std::uint64_t step);                        // "step-00001000"
std::optional<std::uint64_t> checkpoint_step(const std::string& name);  // the inverse

// steps with a directory of that name (symbolic links are none), ascending; none if directory is
// not there
std::vector<std::uint64_t> checkpoint_steps(const std::filesystem::path& directory);

// Deletes step-*.tmp and latest.tmp, left by dead processes. Only for the one process that writes
// here.
void remove_leftovers(const std::filesystem::path& directory);

// Makes NAME.tmp, complete and synced, the checkpoint NAME, in place of one that may be there, and
// durable. Fault::disk.
void publish_checkpoint(const std::filesystem::path& directory, const std::string& name);

// Lets the file `latest` say name, for people and scripts: nothing here reads it.
void note_latest(const std::filesystem::path& directory, const std::string& name);

// What to keep beside the newest.
struct Retention {
  std::uint64_t keep_last = 3;   // that many in all, at least 1
  std::uint64_t keep_every = 0;  // and every step that is a multiple of it; 0: none
};

// Deletes checkpoints before `newest`, which is known to be good, as far as they are not to be
// kept. Those after it belong to another course of the run: they stay.
void prune_checkpoints(const std::filesystem::path& directory, std::uint64_t newest,
                       const Retention& retention);

}  // namespace tern
