#include "apps/config/resolved.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/config/schema.h"

namespace tern {

namespace {

std::string origin_text(const LoadedConfig& loaded, const std::string& key) {
  const auto found = loaded.origins.find(key);
  if (found == loaded.origins.end()) return "default";
  const ValueOrigin& origin = found->second;
  switch (origin.kind) {
    case ValueOrigin::Kind::file:
      return fmt::format("{}:{}", excerpt(loaded.file, 200), origin.line);
    case ValueOrigin::Kind::set:
      return "--set";
    case ValueOrigin::Kind::derived:
      return "from " + origin.text;
  }
  return "";
}

}  // namespace

std::string resolved_config(const LoadedConfig& loaded) {
  std::string text = "# Every key of this run, and where its value came from.\n";
  for (const ConfigSection& section : schema())
    for (std::size_t i = 0; i < section.count(loaded.config); ++i) {
      text += fmt::format("\n{}\n", header(section));
      for (const ConfigKey& key : section.keys) {
        const std::string line =
            fmt::format("{} = {}", key.name, to_toml(key.get(loaded.config, i)));
        text +=
            fmt::format("{:<40}  # {}\n", line, origin_text(loaded, full_name(section, i, key)));
      }
    }
  return text;
}

std::vector<Difference> differences(const RunConfig& before, const RunConfig& after) {
  std::vector<Difference> found;
  for (const ConfigSection& section : schema()) {
    const std::size_t m = section.count(before), n = section.count(after);
    for (std::size_t i = 0; i < std::max(m, n); ++i)
      for (const ConfigKey& key : section.keys) {
        const std::string old_value = i < m ? to_toml(key.get(before, i)) : "";
        const std::string new_value = i < n ? to_toml(key.get(after, i)) : "";
        if (old_value != new_value)
          found.push_back({full_name(section, i, key), old_value, new_value});
      }
  }
  return found;
}

}  // namespace tern
