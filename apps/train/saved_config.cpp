#include "apps/train/saved_config.h"

#include "apps/config/load.h"

namespace tern {

RunConfig saved_config(const Checkpoint& checkpoint) {
  const std::string where = checkpoint.path().string() + ": manifest.json: config";
  const nlohmann::json& config = checkpoint.manifest().config;
  require(config.is_object() && config.contains("toml") && config["toml"].is_string(), Fault::input,
          where, ": expected the run's configuration");
  try {
    return parse_config(config["toml"].get<std::string>(), where).config;
  } catch (const Error& e) {
    fail(Fault::input, e.what());
  }
}

}  // namespace tern
