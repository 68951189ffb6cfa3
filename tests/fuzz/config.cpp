// A configuration file; each part after it is an override, as of --set.
#include "apps/config/resolved.h"
#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {

void run(std::string_view input) {
  const auto parts = parts_of(input);
  std::vector<std::string> overrides(parts.begin() + 1, parts.end());
  ::setenv("HOME", "/home/fuzz", 1);
  works({Fault::usage}, [&] {
    const LoadedConfig loaded = parse_config(std::string(parts[0]), "a.toml", overrides);
    const std::string text = resolved_config(loaded);
    const LoadedConfig again = parse_config(text, "again.toml");
    expect(differences(loaded.config, again.config).empty(),
           "a configuration differs when it is written and read");
    expect(values_without_paths(loaded.config) == values_without_paths(again.config),
           "values of a configuration differ when it is written and read");
  });
}

}  // namespace tern::fuzz
