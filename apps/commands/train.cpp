// tern train CONFIG.toml: one training run.
#include "apps/train/train.h"

#include <memory>

#include "apps/commands.h"

namespace tern {

void add_train(CLI::App& tern, const std::vector<std::string>& command_line) {
  CLI::App& train_command =
      *tern.add_subcommand("train", "Train a model as a configuration file says.");
  const auto options = std::make_shared<TrainOptions>();
  options->command = command_line;
  train_command.add_option("CONFIG", options->config, "TOML file (docs/config.md)")->required();
  train_command.add_option("--set", options->overrides, "key=value, overrides the file")
      ->allow_extra_args(false);
  train_command.add_option(
      "--resume", options->resume,
      "auto: from the newest good checkpoint; PATH: from that one; none: a new run. Not given: go "
      "on if the directory holds this very run");
  train_command.add_option("--device", options->device, "cpu, cuda or cuda:N")
      ->capture_default_str();
  train_command.add_flag("--overwrite", options->overwrite, "delete the run that is there");
  train_command.add_option("--inject", options->inject, "a fault to provoke, for tests")->group("");
  train_command.callback([options] { train(*options); });
}

}  // namespace tern
