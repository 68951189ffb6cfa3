// tern sweep SWEEP.toml: a family of runs.
#include "apps/sweep/sweep.h"

#include <memory>

#include "apps/commands/command_line.h"

namespace tern {

void add_sweep(CLI::App& tern) {
  CLI::App& command = *tern.add_subcommand(
      "sweep", "Train a family of runs: a grid or a list of values, several at a time.");
  const auto options = std::make_shared<SweepOptions>();
  command.add_option("SWEEP", options->file, "TOML file (docs/sweeps.md)")
      ->transform(path_argument())
      ->required();
  command
      .add_option("--device", options->device,
                  "cpu; cuda: every GPU; or some of them: cuda:0,cuda:2")
      ->capture_default_str();
  command
      .add_option("--jobs", options->jobs,
                  "runs at once on each device; not given: as many as cores and memory allow")
      ->check(CLI::Range(1, 4096));
  command.add_flag("--list", options->list, "show the runs and their state, and start none");
  command.callback([options] { sweep(*options); });
}

}  // namespace tern
