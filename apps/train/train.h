// `tern train`: from a configuration file to a trained model, with everything in between.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tern {

struct TrainOptions {
  std::string config_file{};             // path of the TOML file
  std::vector<std::string> overrides{};  // --set key=value
  std::string resume{};                  // "auto", "none", a checkpoint's path, or "" (not given)
  bool overwrite = false;
  std::string device = "cpu";          // or "cuda", "cuda:N"
  std::vector<std::string> command{};  // the command line, for env.json
  std::string inject{};                // a fault to provoke, for tests: see FaultInjection
  std::map<std::string, std::string> rank_flags{};  // {"--rank", "3"}: see find_rank_info
  std::optional<bool> runs_ahead{};  // OpenedRun::runs_ahead; not given: where the device is a GPU
};

// Throws Error as TrainingRun::run does, and before the first step for everything that is wrong
// with configuration, data, checkpoint, memory or disk.
void train(const TrainOptions& options);

}  // namespace tern
