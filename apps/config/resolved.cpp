#include "apps/config/resolved.h"

#include <fmt/format.h>

#include "runtime/huggingface.h"

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

// "" stays: it means that there is none
std::string normalized(const std::string& path) {
  if (path.empty()) return path;
  const std::filesystem::path whole = std::filesystem::absolute(path).lexically_normal();
  return whole.has_filename() ? whole.string() : whole.parent_path().string();
}

std::string comparable(const ConfigKey& key, const RunConfig& config, std::size_t index) {
  const ConfigValue value = key.get(config, index);
  return to_toml(key.path ? ConfigValue(normalized(std::get<std::string>(value))) : value);
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
        if (i < m && i < n && comparable(key, before, i) == comparable(key, after, i)) continue;
        found.push_back({full_name(section, i, key), i < m ? to_toml(key.get(before, i)) : "",
                         i < n ? to_toml(key.get(after, i)) : "", key.decides, key.path});
      }
  }
  return found;
}

DifferingKeys differing_keys(const std::vector<const RunConfig*>& configs,
                             const std::function<bool(const Difference&)>& counts) {
  DifferingKeys found;
  std::map<std::string, std::string> first;                 // values of the first configuration
  std::vector<std::map<std::string, std::string>> changed;  // of each, against the first
  for (const RunConfig* config : configs) {
    auto& own = changed.emplace_back();
    for (const Difference& d : differences(*configs.front(), *config)) {
      if (!counts(d)) continue;
      if (first.try_emplace(d.key, d.before).second) found.keys.push_back(d.key);
      own[d.key] = d.after;
    }
  }
  for (const auto& own : changed) {
    auto& values = found.values.emplace_back();
    for (const std::string& key : found.keys) {
      const auto at = own.find(key);
      values.push_back(at == own.end() ? first.at(key) : at->second);
    }
  }
  return found;
}

std::string text_of(const std::vector<Difference>& differences) {
  const auto named = [](const std::string& value) { return value.empty() ? "not there" : value; };
  std::string text;
  for (const Difference& d : differences)
    text += fmt::format("{}{} was {}, is {}", text.empty() ? "" : "; ", d.key, named(d.before),
                        named(d.after));
  return text;
}

std::string values_without_paths(const RunConfig& config) {
  std::string text;
  for (const ConfigSection& section : schema())
    for (std::size_t i = 0; i < section.count(config); ++i)
      for (const ConfigKey& key : section.keys)
        if (!key.path)
          text += fmt::format("{} = {}\n", full_name(section, i, key), to_toml(key.get(config, i)));
  return text;
}

RunConfig saved_config(const Checkpoint& checkpoint) {
  if (const auto imported = imported_run_config(checkpoint)) return *imported;
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
