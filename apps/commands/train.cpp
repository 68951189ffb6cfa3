// tern train CONFIG.toml: one training run.
#include "apps/train/train.h"

#include <memory>

#include "apps/commands/command_line.h"
#include "apps/config/load.h"
#include "apps/run/launcher.h"
#include "core/check.h"

namespace tern {
namespace {

// the command line without --ranks N and --ranks=N
std::vector<std::string> without_ranks(const std::vector<std::string>& command) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < command.size(); ++i)
    if (command[i] == "--ranks")
      ++i;
    else if (!command[i].starts_with("--ranks="))
      out.push_back(command[i]);
  return out;
}

// Mistakes in the configuration are reported once, before anything starts.
void launch(const TrainOptions& options, int ranks) {
  for (const auto& [flag, value] : options.rank_flags)
    require(value.empty(), Fault::usage, "--ranks starts the processes itself: leave ", flag,
            " out");
  const LoadedConfig loaded = load_config(options.config_file, options.overrides);
  launch_ranks({.ranks = ranks,
                .command = without_ranks(options.command),
                .grace = double(loaded.config.ranks.grace)});
}

}  // namespace

void add_train(CLI::App& tern, const std::vector<std::string>& command_line) {
  CLI::App& train_command =
      *tern.add_subcommand("train", "Train a model as a configuration file says.");
  const auto options = std::make_shared<TrainOptions>();
  options->command = command_line;
  train_command.add_option("CONFIG", options->config_file, "TOML file (docs/config.md)")
      ->transform(path_argument())
      ->required();
  add_settings(train_command, options->overrides);
  train_command
      .add_option("--resume", options->resume,
                  "auto: from the newest good checkpoint; PATH: from that one; none: a new run. "
                  "Not given: resume if the directory holds the same run")
      ->transform(path_argument());
  train_command.add_option("--device", options->device, "cpu, cuda or cuda:N")
      ->capture_default_str();
  train_command.add_flag("--overwrite", options->overwrite,
                         "replace the existing run, once the new one has completed a step");
  const auto ranks = std::make_shared<int>(1);
  train_command
      .add_option("--ranks", *ranks,
                  "number of processes to start on this machine, which train together")
      ->check(CLI::Range(1, 4096));
  for (const char* flag : {"--rank", "--world-size", "--local-rank", "--rendezvous"})
    train_command
        .add_option(flag, options->rank_flags[flag],
                    "this process's rank, if no launcher sets it (docs/distributed.md)")
        ->group("Ranks");
  train_command.add_option("--inject", options->inject, "a fault to inject, for tests")->group("");
  train_command.callback([options, ranks] {
    if (*ranks > 1)
      launch(*options, *ranks);
    else
      train(*options);
  });
}

}  // namespace tern
