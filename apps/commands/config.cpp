// tern config: all keys of a configuration, and the values of a file.
#include <fmt/format.h>

#include "apps/commands/command_line.h"
#include "apps/config/load.h"
#include "apps/config/resolved.h"
#include "apps/config/schema.h"

namespace tern {

void add_config(CLI::App& tern) {
  CLI::App* config = tern.add_subcommand("config", "Explain and check configuration files.");
  config->require_subcommand(1);

  CLI::App* reference = config->add_subcommand("reference", "Print every key, as Markdown.");
  reference->callback([] { fmt::print("{}", config_reference()); });

  struct Options {
    std::string file;
    std::vector<std::string> overrides;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* show = config->add_subcommand(
      "show", "Check a configuration and print every value with where it came from.");
  show->add_option("file", options->file, "TOML file")->transform(path_argument())->required();
  add_settings(*show, options->overrides);
  show->callback([options] {
    fmt::print("{}", resolved_config(load_config(options->file, options->overrides)));
  });
}

}  // namespace tern
