// A family of runs in one TOML file (docs/sweeps.md): a configuration that they share, what is set
// in all of them, a grid of values, and a list of runs.
#pragma once

#include "apps/config/load.h"

namespace tern {

struct SweepRun {
  std::string name{};                    // of its folder
  std::vector<std::string> overrides{};  // as --set takes them, its name and directory included
  RunConfig config{};
};

struct Sweep {
  std::filesystem::path config{};     // the file that all runs start from
  std::filesystem::path directory{};  // of their folders
  bool share_trunk = false;      // runs that differ in length only begin with one another's steps
  std::vector<SweepRun> runs{};  // every run of the list with every combination of the grid
};

// Every run's configuration is checked. Fault::usage with every mistake of the sweep's file, or
// those of the first run that cannot be trained, with its name.
Sweep load_sweep(const std::filesystem::path& path);

// The same of a text; `file` is its name in messages, without its extension the default folder in
// runs/.
Sweep parse_sweep(const std::string& text, const std::string& file);

// Of runs that share a trunk: the order in which they follow each other, and where each begins.
struct TrunkLink {
  std::size_t before = 0;  // the run whose checkpoint this one resumes
  std::int64_t step = 0;   // of that checkpoint
};
// One for each run; nothing: it begins with its own first step. Runs follow each other by length.
// Fault::usage, with the run's name, where a trunk is impossible: another schedule than wsd, or
// warm-ups of different lengths.
std::vector<std::optional<TrunkLink>> trunk_links(const Sweep& sweep);

}  // namespace tern
